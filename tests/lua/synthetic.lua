-- The synthetic language with a shared vocabulary: what its entropy is, that a small model by
-- train's defaults comes to it, and that a learned router's experts say more of the domain, beyond
-- what the token says, than those of a frozen random one.
local srcdir = os.getenv "srcdir" or "."
local t = dofile(srcdir .. "/tests/lua/tap.lua")

-- ---- what it is ----

local apart = data.synthetic{domains = 3, tokens = 3e4, states = 8, seed = 5}
local shared = data.synthetic{domains = 3, tokens = 3e4, states = 8, seed = 5, shared = true}
t.is(apart.vocab, 24, "apart: ids of each domain's own")
t.is(shared.vocab, 8, "shared: the same ids")
t.is(shared.entropy, apart.entropy, "the chains are the same, and their entropy")
local a, s, same = apart:ids():table(), shared:ids():table(), true
for i = 1, #a do same = same and a[i] % 8 == s[i] end
t.ok(same, "the text is that of domains apart, without what tells them apart")
t.is(data.synthetic{domains = 3, tokens = 3e4, states = 8, seed = 5, shared = false}.hash,
  apart.hash, "shared = false is what it was before")
t.refuses(function() data.synthetic{share = true} end, "options", "'shared'")

-- the entropy against counts: of each pair of symbols in documents of one domain
local language = data.synthetic{domains = 1, tokens = 4e5, states = 6, branch = 3, seed = 2}
local ids, n, of = language:ids():table(), {}, {}
for i = 2, #ids do
  local from, pair = ids[i - 1], ids[i - 1] * 6 + ids[i]
  n[pair], of[from] = (n[pair] or 0) + 1, (of[from] or 0) + 1
end
local h = 0
for pair, count in t.sorted(n) do h = h - count / #ids * math.log(count / of[pair // 6]) end
t.near(h, language.entropy, 0.01, "the entropy is that of what is written")

-- a run's data is made again
local r = train(model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = 8, experts = 4,
                          top_k = 1, expert_dim = 16}, shared,
  {steps = 5, batch = 2, eval_every = 0, name = "shared"}):wait()
local hash = r:hash()
r:close()
t.is(replay("shared").hash, hash, "a stored run is repeated with its language")

-- ---- what can be learned ----

-- A model of options that trains by train's defaults, or at another rate; its validation loss.
local function learned(d, steps, options, lr)
  local m = model.moe(t.with({layers = 2, heads = 4, context = 128, vocab = d.vocab}, options))
  local run = train(m, d, {steps = steps, save = false, eval_every = 0, lr = lr}):wait()
  local loss = run:eval(20)
  run:close()
  return m, loss
end

-- Told of no domain, the best needs up to ln(domains) nats a window more than the entropy.
local two = data.synthetic{domains = 2, tokens = 2e6, states = 8, seed = 1, shared = true}
local _, loss = learned(two, 800, {dim = 64, experts = 8, top_k = 2, expert_dim = 64})
t.ok(loss < 1.02 * two.entropy, "the defaults come to the entropy within 2%",
  ("%.4f of %.4f"):format(loss, two.entropy))
t.ok(loss > two.entropy, "and not below")

-- Mean over three seeds, of the first layer.  (Of a single seed a frozen router may have more; and
-- in the second layer it has: what comes before it has learned to place tokens for it.)
local four = data.synthetic{domains = 4, tokens = 2e6, states = 16, seed = 1, shared = true}
local function specialized(router)
  local domain, given = 0, 0
  for seed = 1, 3 do
    local m = learned(four, 200, {dim = 32, experts = 4, top_k = 1, expert_dim = 8,
                                  seed = seed, router = router}, 1e-2)
    local first = specialization(m, four, {batches = 8, shuffles = 3}).layers[1]
    domain, given = domain + first.domain.value / 3, given + first.given_token.value / 3
  end
  return domain, given
end
local domain, given = specialized "softmax"
local control, given_control = specialized "random"
local note = ("domain %.3f, frozen %.3f; given the token %.3f, frozen %.3f"):format(domain, control,
  given, given_control)
t.ok(domain > 1.5 * control, "experts of a learned router tell the domain", note)
t.ok(given > 1.5 * given_control, "beyond what the token tells", note)
print("# " .. note)
t.done()
