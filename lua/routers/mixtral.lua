-- Softmax over the K largest logits.

local choice = require "switchyard.model.choice"

return {
  name = "mixtral",
  rule = "the K largest logits, softmax over them",
  doc = "The K largest logits and a softmax over these alone: the same gates as those of all E, "
    .. "made to sum to 1. For K = 1 that is 1, and the router would not learn.",
  paper = "aux 0.001 to 0.02 of shares that sum to K = 2, layers pooled (transformers): 0.002 to "
    .. "0.04 here; no z-loss; 2 of 8 experts",
  source = "Jiang et al. 2024",
  model = {top_k = 2},
  balance = {aux = 0.002, z = 0},
  normalized = true,
  check = choice.check_chosen,
  route = function(ctx) return choice.softmax_of_chosen(ctx, ctx:logits()) end,
}
