-- m:copy_from: all that has the same name and shape in both, what is told of the rest, and what is
-- refused.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local engine = require "switchyard.engine"
local ok, is, refuses = t.ok, t.is, t.refuses

local function with(more)
  return t.with({layers = 2, dim = 16, heads = 2, context = 16, vocab = 64}, more)
end
local function dense(more) return model.dense(with(more)) end
local function mixture(more)
  return model.moe(with(more or {experts = 4, top_k = 1, expert_dim = 24, router = "deepseek_v3"}))
end

do -- a dense model and a mixture
  local m = mixture {experts = 4, top_k = 2, expert_dim = 24, seed = 5}
  local s = dense {ffn_dim = 24}
  local own = s.params["model.layers.1.mlp.up_proj.weight"]:hash()
  local report = s:copy_from(m)
  ok(#report.copied > 8 and #report.left > 0 and #report.kept > 0, "some of it", tostring(report))
  for _, name in ipairs(report.copied) do
    is(s.params[name]:hash(), m.params[name]:hash(), name .. ": to the bit")
  end
  for _, name in ipairs(report.left) do
    ok(name:find "experts" or name:find "gate", "left: " .. name)
  end
  for _, name in ipairs(report.kept) do ok(name:find "mlp", "kept: " .. name) end
  is(s.params["model.layers.1.mlp.up_proj.weight"]:hash(), own, "which stays as it was")
  ok(tostring(report):find("copied %d+ tensors"), "said in a line", tostring(report))
end

do -- a model of other options alone: parameters and states
  local m, n = mixture(), mixture {experts = 4, top_k = 1, expert_dim = 24, router = "deepseek_v3",
                                   seed = 9}
  for _, state in pairs(m.states) do engine.copy(state, tensor {0.9, -0.5, 0, -0.4}) end
  local report = n:copy_from(m)
  is(#report.kept + #report.left, 0, "everything")
  is(n:logits({1, 2, 3}):hash(), m:logits({1, 2, 3}):hash(), "equal models")
  for name, state in t.sorted(m.states) do is(n.states[name]:hash(), state:hash(), name) end
end

do
  local d = data.synthetic {domains = 2, tokens = 20000, seed = 1}
  local m = model.dense(with {vocab = d.vocab})
  local r = train(m, d, {steps = 2, batch = 2, eval_every = 0, save = false, paused = true})
  refuses(function() m:copy_from(model.dense(with {vocab = d.vocab})) end, "a run's model",
    "journal", r.name)
  r:close()
  is(#m:copy_from(model.dense(with {vocab = d.vocab, seed = 2})).kept, 0, "closed, it may be")
  refuses(function() m:copy_from(m) end, "itself", "its own source")
  refuses(function() m:copy_from(3) end, "no model", "takes a model, got number")
  refuses(function() m:copy_from(dense {dim = 8}) end, "another shape", "no tensor")
end

t.done()
