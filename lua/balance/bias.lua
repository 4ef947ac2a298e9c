-- Balance without a loss: after each step the bias of an expert that got less than its share of the
-- step's tokens grows, that of one that got more shrinks.  f: loads as shares, 1 / E each where
-- they are even.

local nn = require "switchyard.model.nn"

local function missing(ctx, load) return load * -1 + 1 / ctx.E end

-- How far each bias moves, as a multiple of gamma.
local KINDS = {}

function KINDS.sign(ctx, load) return missing(ctx, load):sign() end

function KINDS.proportional(ctx, load) return missing(ctx, load) end

-- Smooth where sign jumps, and no larger; it sums to 0.
function KINDS.tanh(ctx, load)
  local step = (missing(ctx, load) * ctx.E):tanh()
  return step - step:mean()
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
    .. "sign(mean load - load), over all micro-batches of the step. kind is how far: sign; "
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
    local step = smoothed(ctx, KINDS[ctx:option "kind" or "sign"](ctx, load))
    local now = bias + step * ctx:setting "gamma"
    if ctx:option "recentre" then now = now - now:mean() end
    nn.update(bias, now)
  end,
}
