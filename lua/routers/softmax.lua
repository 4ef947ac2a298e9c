-- Softmax over all experts, the K largest.

local choice = require "switchyard.model.choice"
local routing = require "switchyard.model.routing"

return {
  name = "softmax",
  rule = "softmax over the E logits, the K largest",
  doc = "Softmax over all experts; the K largest are the token's, and their probabilities its "
    .. "gates, made to sum to 1 (normalize=false or K = 1: not).",
  source = "Lepikhin et al. 2020; OLMoE, Muennighoff et al. 2024",
  rows = {routing.NORMALIZE},
  gives = "logits scores",
  route = choice.normalized,
}
