-- Who is an expert for what: specialization, coactivation, token_experts.  Counts against numbers
-- made by hand and against a probe; routers whose figures are known: hash (the token decides), one
-- that goes by the position, one that goes by the text before.
local srcdir = os.getenv "srcdir" or "."
local t = dofile(srcdir .. "/tests/lua/tap.lua")
local small = dofile(srcdir .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"
local counting = require "switchyard.lab.counting"
local probe = require "switchyard.lab.probe"

local tok = tokenizer.bytes()

-- A text of n words of a list, by a fixed rule.
local function text_of(words, n)
  local list, at = {}, 1
  for i = 1, n do
    at = at * 1103515245 + 12345 & 0x7fffffff
    list[i] = words[(at >> 16) % #words + 1]
  end
  return data.string(table.concat(list, " "), {tokenizer = tok, val = 0.5})
end

local english, german = text_of({"the", "fox", "dog", "and"}, 2000),
  text_of({"der", "fuchs", "hund", "und"}, 2000)
local both = {en = english, de = german}

local function made(more)
  return small.moe(t.with({layers = 2, vocab = tok, dim = 32}, more))
end

if arg[1] == "worker" then
  local s = specialization(made(), both, {batches = 1})
  local path = t.scratch(arg[2] .. ".csv")
  s:save(path)
  print(engine.hash(t.read(path)))
  os.exit(true)
end

-- ---- by hand ----

local ln = math.log
local I, H, E, sum = counting.information({3, 1, 1, 3}, 2, 2)
t.near(I, 0.75 * ln(1.5) + 0.25 * ln(0.5), 1e-15, "3 1 1 3: I")
t.near(H, ln(2), 1e-15, "its H of rows")
t.near(E, ln(2), 1e-15, "and of columns")
t.is(sum, 8, "and sum")
t.near((counting.information({2, 4, 3, 6}, 2, 2)), 0, 1e-15, "rows that are alike say nothing")
t.near((counting.information({4, 0, 0, 4}, 2, 2)), ln(2), 1e-15, "one each says all")
t.is((counting.information({0, 0, 0, 0}, 2, 2)), 0, "nothing says nothing")
t.near(counting.entropy{1, 1, 2}, 1.5 * ln(2), 1e-15, "an entropy")
local mean, deviation = counting.moments{1, 2, 3, 4}
t.near(mean, 2.5, 1e-15, "mean")
t.near(deviation, math.sqrt(5 / 3), 1e-15, "and deviation")

local p, seen = counting.permutation(1000, 7), {}
for _, i in ipairs(p) do seen[i] = true end
t.ok(#p == 1000 and #seen == 1000, "a permutation has each place once")
t.ok(table.concat(p, " ") == table.concat(counting.permutation(1000, 7), " "), "by its seed alone")
t.ok(table.concat(p, " ") ~= table.concat(counting.permutation(1000, 8), " "), "another, another")

local order, firsts = counting.groups{5, 3, 5, 3, 9}
t.is(table.concat(order, " "), "2 4 1 3 5", "places by their key")
t.is(table.concat(firsts, " "), "1 3 5 6", "and where each key begins")
local within = counting.shuffle_within({1, 2, 3, 4, 5}, order, firsts, 3)
t.ok(within[1] + within[3] == 4 and within[2] + within[4] == 6 and within[5] == 5,
  "shuffled within each key", table.concat(within, " "))

-- ---- routers whose figures are known ----

-- hash: an expert is the token's
local h = made {router = "hash", top_k = 1}
local s = specialization(h, both, {batches = 2})
local one = s.layers[1]
t.ok(one.token.raw == 1 and one.token.value > 0.98, "hash: the token decides",
  ("%s %s"):format(one.token.raw, one.token.value))
t.near(one.given_token.raw, 0, 1e-12, "and says all that the expert says of the domain")
t.near(one.given_token.value, 0, 1e-12, "which shuffling within a token leaves")
t.ok(math.abs(one.position.value) < 0.01, "the position says nothing")
t.is(s.tokens, 2 * 2 * 16 * 16, "tokens: two data sets, two batches of 16 windows of 16")
t.near(one.counts:sum():item(), s.tokens, 0, "each with one expert")
t.ok(one.counts:equal(one.counts:floor()), "counts are whole")
t.near(one.share:sum(1)[2]:item(), 1, 1e-12, "an expert's domains add up")
t.near(one.load:sum():item(), 1, 1e-12, "and the loads")

-- two texts without a common letter
local apart = {a = data.string(("a"):rep(4000), {tokenizer = tok, val = 0.5}),
               b = data.string(("b"):rep(4000), {tokenizer = tok, val = 0.5})}
local alone = specialization(h, apart, {batches = 1})
local map = token_experts(h, data.mix{{apart.a, 0.5}, {apart.b, 0.5}}, {batches = 2})
local layer = map.tokens[1].experts[1] ~= map.tokens[2].experts[1] and 1 or 2
t.is(alone.layers[layer].domain.raw, 1, "disjoint texts: the expert tells the domain")
t.ok(alone.layers[layer].given_token.value ~= alone.layers[layer].given_token.value,
  "which the token has told: nothing can be said")
t.ok(tostring(alone):find("no token is in two domains", 1, true), "and that is said")
local e = map.tokens[1].experts[layer]
t.is(alone.layers[layer].experts[e].domains[1].lift, 2, "a lift of two domains is 2")
t.is(alone.layers[layer].experts[e].domains[1].domain, "a", "of the one that it has")
t.is(alone.layers[layer].experts[e].tokens[1].id, 97, "its top token")
t.is(alone.layers[layer].experts[e].tokens[1].text, "'a'", "as text")
t.is(alone.layers[layer].experts[e].tokens[1].lift, 2, "twice its share")

-- an expert that goes by nothing, of each token another: shuffled labels say as much
local u = made {router = "random", top_k = 2}
for _, l in ipairs(specialization(u, both, {batches = 2}).layers) do
  t.ok(l.domain.raw >= 0 and l.domain.shuffled > 0, "shuffled labels seem to say something")
  for _, name in ipairs {"domain", "given_token", "token", "position"} do
    local f = l[name]
    t.near(f.value, f.raw - f.shuffled, 1e-15, name .. ": which is taken off")
    t.near(f.raw, f.information / f.entropy, 1e-15, name .. ": a share")
    t.ok(f.shuffled > 0 and f.deviation > 0, name .. ": more than nothing")
  end
end

-- the same labels for all: two data sets of one text
local same = specialization(made(), {x = english, y = english}, {batches = 2}).layers[1]
t.ok(math.abs(same.domain.value) < 0.002 and math.abs(same.given_token.value) < 0.002,
  "of two equal texts nothing is known", same.domain.value .. " " .. same.given_token.value)

-- ---- sources, domains, weights ----

local m = made()
local mix = data.mix{{english, 0.5}, {german, 0.5}}
t.is(table.concat(specialization(m, mix, {batches = 1}).domains, " "), "1 2", "sources of a mix")
local language = data.synthetic{domains = 3, tokens = 2e4, states = 16}
local z = small.moe{layers = 1, vocab = language.vocab, router = "hash", top_k = 1}
local of = specialization(z, language, {batches = 8})
t.is(#of.domains, 3, "domains of a synthetic language")
t.ok(of.layers[1].domain.value > 0, "told by their tokens")
local gated = specialization(m, both, {batches = 1, weight = "gate"})
t.near(gated.layers[1].counts:sum():item(), gated.tokens, 1e-3, "gates of a token count 1")
t.near(specialization(m, both, {batches = 1}).layers[1].counts:sum():item(), 2 * gated.tokens, 0,
  "choices as many as they are")
t.ok(specialization(made{router = "relu"}, both, {batches = 1}).layers[1].domain.raw >= 0,
  "any number of experts")

-- ---- an encoder and a decoder ----

local padded = tokenizer.bytes{pad = true}
local lines = small.pair_file("p.tsv", 300, "de\tdie %w\tthe %w\nfr\tle %w\tthe %w\n")
local pairs_of = data.pairs(lines, {tokenizer = padded, val = 0.5})
local enc = model.encdec{layers = 1, decoder_layers = 1, dim = 16, heads = 2, vocab = padded,
                         context = 16, input_context = 16, experts = 4, top_k = 2, moe_every = 1,
                         expert_dim = 16}
local sides = specialization(enc, pairs_of, {batches = 1})
t.is(sides.layers[1].label .. ", " .. sides.layers[2].label, "enc 1, dec 1", "both stacks")
t.ok(sides.layers[1].domain.value > 0, "the encoder reads the language")

-- ---- coactivation ----

local c = coactivation(m, english, {batches = 1})
local q, n, single = probe.new(m, {rows = 16, length = 16, data = english}), {}, {0, 0, 0, 0}
q:over(1, function()
  for _, row in ipairs(q.mixtures[1].experts:table()) do
    n[row[1] * 10 + row[2]] = (n[row[1] * 10 + row[2]] or 0) + 1
    single[row[1]], single[row[2]] = single[row[1]] + 1, single[row[2]] + 1
  end
end)
local l = c.layers[1]
t.is(l.counts[1][2]:item(), (n[12] or 0) + (n[21] or 0), "pairs as a probe shows them")
t.near(l.lift[3][2]:item(), l.counts[2][3]:item() * 256 / (single[2] * single[3]), 1e-12, "lift")
t.near(l.chance, 2 / 3, 1e-15, "two of four by chance: 4 / (2 * 3)")
t.is(l.counts:sum():item(), 2 * 256, "each token has one pair, both ways")
t.ok(l.strongest[1].lift >= l.strongest[2].lift, "the strongest first")
local across = coactivation(h, english, {batches = 1, layers = {1, 2}}).layers[1]
t.is(across.counts:sum():item(), 256, "across layers: a pair a token")
t.ok(tostring(c):find("strongest: ", 1, true), "printed")

-- ---- a run, stored and live ----

local r = train(made(), english, {steps = 100000, batch = 2, eval_every = 0, save = false})
t.poll(function() return r.step > 3 end)
specialization(r, both, {batches = 1})
local at = r.step
t.poll(function() return r.step > at end)
t.ok(r.state == "running", "a run goes on while it is looked at")
r:pause()
t.poll(function() return r.state == "paused" end)
local hash = r:hash()
local first = specialization(r, both, {batches = 1})
t.is(r:hash(), hash, "and is what it was")
local path = t.scratch "one.csv"
t.ok(first:save(path), "csv")
t.ok(t.read(path):find("layer 1,domain,,,", 1, true), "with the figures")
specialization(r._m, both, {batches = 1}):save(t.scratch "two.csv")
t.is(t.read(t.scratch "two.csv"), t.read(path), "of the run as of its model")
t.ok(coactivation(r, nil, {batches = 1}).tokens > 0, "the run's own data")
r:stop():wait()
r:close()
t.refuses(function() specialization(r, both) end, "a run that is gone", "is closed", "runs")

-- ---- files, threads ----

t.ok(first:save(t.scratch "one.svg") and t.read(t.scratch "one.svg"):find "^<svg", "svg")
t.ok(token_experts(m, english, {batches = 1}):save(t.scratch "map.csv"), "a map as csv")
t.refuses(function() first:save "x.png" end, "another kind", ".csv and .svg")
t.refuses(function() map:save "x.svg" end, "a map has no picture", "writes .csv")
local file, why = first:save "/nowhere/x.csv"
t.ok(file == nil and why:find "nowhere", "a folder that is not there is returned")
local bits = t.worker("ref", 1, "a")
t.ok(bits:find "^%x+\n$", "bits", bits)
t.is(t.worker("ref", 2, "b"), bits, "the same on 1 and 2 threads")
local hostile = specialization(m, {["a\27[31m"] = english, b = german}, {batches = 1})
t.ok(not tostring(hostile):find "\27", "names are sanitized")

-- ---- refusals ----

t.refuses(function() specialization(m, english) end, "one source", "nothing to tell apart")
t.refuses(function() specialization(m, {en = english}) end, "one data set", "at least two")
t.refuses(function() specialization(m, {en = english, de = 3}) end, "no data", "de is a number")
t.refuses(function() specialization(m, both, {shuffle = 3}) end, "options", "'shuffles'")
t.refuses(function() specialization(model.dense{layers = 1, dim = 16, heads = 2, context = 16,
  vocab = tok, ffn_dim = 16}, both) end, "dense", "no mixture")
t.refuses(function() specialization(4, both) end, "no model", "takes a model or a run")
t.refuses(function() coactivation(h, english) end, "one expert a token", "no two are chosen",
  "layers = {1, 2}")
t.refuses(function() coactivation(m, english, {layers = {1, 9}}) end, "no such layer", "9")
t.refuses(function() coactivation(enc, pairs_of, {layers = {1, 2}}) end, "two stacks",
  "other tokens")
t.refuses(function() coactivation(m) end, "no data", "takes a data set")
t.refuses(function() token_experts(z, english) end, "other ids", "knows those to")
t.done()
