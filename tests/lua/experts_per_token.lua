-- How many experts a token has, where a router leaves that open: a series of its own kind.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is, near = t.ok, t.is, t.near

local d = data.synthetic {domains = 2, tokens = 4000, seed = 1}
local E = 4

local function run(router)
  local o = {layers = 1, dim = 16, heads = 2, experts = E, top_k = 2, expert_dim = 16, context = 16,
             vocab = d.vocab, seed = 2, router = router}
  return train(model.moe(o), d, {steps = 6, batch = 4, eval_every = 0, save = false}):wait()
end

-- The series of the kind, by name.
local function of_kind(r)
  local names = {}
  for name, s in pairs(r._h:series()) do
    if s.kind == "experts_per_token" then names[#names + 1] = name end
  end
  return table.concat(names, " ")
end

for _, router in ipairs {"relu", "top_p", "expert_threshold", "gshard"} do
  local r = run(router)
  is(of_kind(r), "experts_per_token.1", router .. ": it is seen")
  local all = r:history("experts_per_token.1"):narrow(2, 2, 1)
  ok(all.shape[1] == 6 and all:min():item() >= 0 and all:max():item() <= E,
    router .. ": of each step, of E at most")
end
is(of_kind(run "zero_experts"), "computed.1", "zero_experts: those that compute")
for name, router in t.sorted {softmax = "softmax", expert_choice = {"expert_choice",
                              allow_leak = true}, groups = {"deepseek_v3", groups = 2, keep = 1}} do
  is(of_kind(run(router)), "", name .. ": where it is always the same there is none")
end

-- ---- one of one's own, by plain numbers ----

-- Of two experts of a token the second is never taken.
nn.router("halves", {varies = true, route = function(ctx)
  local p = ctx:logits():softmax(-1)
  local gates, experts = ctx:choose(p)
  local first = tensor({1, 0}, {dtype = "i32"}):view(1, 2):expand {ctx.N, 2}
  return {experts = experts * first, gates = gates, scores = p, fewer = true}
end})
near(run("halves"):history("experts_per_token.1"):narrow(2, 2, 1):mean():item(), 1, 1e-6,
  "one of two is taken: one a token")
t.done()
