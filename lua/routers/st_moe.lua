-- Softmax, the K largest, gates as they are, and a z-loss that keeps the logits small.

local choice = require "switchyard.model.choice"

return {
  name = "st_moe",
  rule = "softmax over the E logits, the K largest; gates are not made to sum to 1",
  doc = "The K likeliest experts (2 in the paper); their gates are their probabilities. The z-loss "
    .. "keeps the logits small.",
  paper = "aux 0.01 of shares that sum to K = 2, which is 0.02 here; z 0.001 (32B; 0.0001 in the "
    .. "base configuration); capacity 1.25 in training and 2.0 in evaluation of N/E, which is "
    .. "0.625 and 1 here",
  source = "Zoph et al. 2022",
  model = {top_k = 2, capacity = {train = 0.625, eval = 1, least = 4}},
  balance = {aux = 0.02, z = 1e-3},
  normalized = false,
  route = function(ctx) return choice.likeliest(ctx) end,
}
