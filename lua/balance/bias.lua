-- Balance without a loss: after each step the bias of an expert that got less than its share of the
-- step's tokens grows by gamma, that of one that got more shrinks.

local nn = require "switchyard.model.nn"

return {
  name = "bias",
  doc = "After each step an expert's bias, which chooses and does not weigh, moves: bias += "
    .. "gamma * sign(mean load - load), over all micro-batches of the step.",
  source = "Wang et al. 2024; DeepSeek-V3, 2024",
  needs = "bias",
  rows = {{"gamma", "number", 1e-3, 0, 1, help = "step of the bias that chooses"}},
  update = function(ctx, load)
    local bias = ctx:bias()
    nn.update(bias, bias + (load * -1 + 1 / ctx.E):sign() * ctx:setting "gamma")
  end,
}
