-- Softmax, the K largest, gates as they are; many small experts.

local choice = require "switchyard.model.choice"

return {
  name = "olmoe",
  rule = "softmax over the E logits, the K largest; gates are not made to sum to 1",
  doc = "The K likeliest experts; their gates are their probabilities, which sum to less than 1.",
  paper = "aux 0.01 of shares that sum to 1, and of the mean over the layers (MegaBlocks): 0.01 by "
    .. "their number here, where layers are added; z 0.001; 8 of 64 experts",
  source = "Muennighoff et al. 2024",
  balance = {z = 1e-3},
  of_mean = {aux = 0.01},
  normalized = false,
  route = function(ctx) return choice.likeliest(ctx) end,
}
