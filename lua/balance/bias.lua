-- Balance without a loss: after each step the bias of an expert that got less than its share of the
-- step's tokens grows, that of one that got more shrinks.  load: shares of the assignments, the
-- same of all enabled experts where they are even.  A disabled one misses nothing: its bias stands.

local nn = require "switchyard.model.nn"

-- How far each bias moves, as a multiple of gamma; missing (E): a fair share less the load; on (E):
-- 1 of the enabled, or nil: all are.
local KINDS = {}

function KINDS.sign(_, missing) return missing:sign() end

function KINDS.proportional(_, missing) return missing end

-- Smooth where sign jumps, and no larger; it sums to 0.
function KINDS.tanh(ctx, missing, on)
  if not on then
    local step = (missing * ctx.E):tanh()
    return step - step:mean()
  end
  local count = on:sum()
  local step = (missing * count):tanh()
  return (step - step:sum() / count) * on
end

local function move(ctx, load)
  local kind = KINDS[ctx:option "kind" or "sign"]
  if ctx:_as_before() then return kind(ctx, load * -1 + 1 / ctx.E) end
  local on = ctx:enabled()
  return kind(ctx, on / on:sum() - load, on)
end

-- The moving average of steps, where it is asked for.
local function smoothed(ctx, step)
  local momentum = ctx:option "momentum" or ctx:option "kind" == "tanh" and 0.9 or 0
  if momentum == 0 then return step end
  local before = nn.state("gate.bias_momentum", tensor.zeros(ctx.E))
  step = before * momentum + step * (1 - momentum)
  nn.update(before, step)
  return step
end

return {
  name = "bias",
  doc = "After each step an expert's bias, which chooses and does not weigh, moves by gamma * "
    .. "sign(mean load - load), over all micro-batches of the step and the enabled experts; that "
    .. "of a disabled one stands still. kind is how far: sign; "
    .. "proportional, the difference of the shares itself (LongCat's mu is gamma); tanh of the "
    .. "difference over the mean, less its mean over the experts, smoothed by momentum (SMEBU, "
    .. "whose constants are not published: 0.9 is ours). recentre: the biases' mean is taken off "
    .. "after each step, which changes no choice and keeps them small.",
  source = "Wang et al. 2024; DeepSeek-V3, 2024; LongCat-Flash, 2025; Arcee Trinity, 2026",
  needs = "bias",
  rows = {
    {"gamma", "number", 1e-3, 0, 1, help = "step of the bias that chooses"},
    {"kind", "string", nil, choices = {"sign", "proportional", "tanh"},
     help = "how far the bias moves: sign (the default), proportional or tanh"},
    {"momentum", "number", nil, 0, 0.999999,
     help = "of the bias's moves; default: 0, and 0.9 of kind tanh"},
    {"recentre", "boolean", nil, help = "take the biases' mean off after each step"},
  },
  update = function(ctx, load)
    local bias = ctx:bias()
    local step = smoothed(ctx, move(ctx, load))
    local now = bias + step * ctx:setting "gamma"
    if ctx:option "recentre" then now = now - now:mean() end
    nn.update(bias, now)
  end,
}
