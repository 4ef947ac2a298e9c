-- Softmax, the K largest made to sum to 1; even over the whole step.

local choice = require "switchyard.model.choice"
local routing = require "switchyard.model.routing"

return {
  name = "qwen3",
  rule = "softmax over the E logits, the K largest made to sum to 1",
  doc = "As softmax, with a small loss that asks for even loads over all of a step, not in each "
    .. "micro-batch, so that experts may differ by domain.",
  paper = "aux 0.001 over the whole step, of shares that sum to 1, layers added as in Megatron-LM "
    .. "(transformers: sum K, layers together); no z-loss; 8 of 128 experts, none shared",
  source = "Qwen3, 2025; Qiu et al. 2025 (2501.11873)",
  rows = {routing.NORMALIZE},
  balance = {aux = 1e-3, scope = "step", z = 0},
  route = choice.normalized,
}
