-- What looking at single tokens costs at R1 (train.lua): 1,000 tokens traced, and a counterfactual.
--
--     switchyard bench/trace.lua [ROUNDS]
--
-- Seconds, the least of ROUNDS (5).  The text is four windows of the context; each trace records
-- its program anew, as a user's does.

local engine = require "switchyard.engine"
local rounds = tonumber(arg[1] or 5)
local m = model.moe{layers = 6, dim = 384, heads = 6, context = 256, vocab = 256, experts = 8,
                    top_k = 2, expert_dim = 1024}
local text = ("The quick brown fox jumps over the lazy dog, "):rep(23):sub(1, 1000)
local least, t = {}, nil

local function time(name, f)
  local start = engine.now()
  local result = f()
  least[name] = math.min(least[name] or math.huge, engine.now() - start)
  return result
end

for _ = 1, rounds do
  collectgarbage()
  t = time("trace", function() return trace(m, text, {windows = true}) end)
  time("print", function() return tostring(t) end)
  time("counterfactual", function() return t:counterfactual(500, 3) end)
end
print(("1,000 tokens traced %.3f s, printed %.3f s; counterfactual of 8 experts %.3f s"):format(
  least.trace, least.print, least.counterfactual))
