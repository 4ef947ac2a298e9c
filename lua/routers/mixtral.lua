-- Softmax over the K largest logits.

local choice = require "switchyard.model.choice"

return {
  name = "mixtral",
  rule = "the K largest logits, softmax over them",
  doc = "The K largest logits and a softmax over these alone: the same gates as those of all E, "
    .. "made to sum to 1. For K = 1 that is 1, and the router would not learn.",
  paper = "aux 0.001 to 0.02 of shares that sum to K = 2 and of all layers' tokens together "
    .. "(transformers), as their mean: 0.002 to 0.04 by the number of layers here; no z-loss; 2 of "
    .. "8 experts",
  source = "Jiang et al. 2024",
  model = {top_k = 2},
  balance = {z = 0},
  of_mean = {aux = 0.002},
  normalized = true,
  check = choice.check_chosen,
  route = function(ctx) return choice.softmax_of_chosen(ctx, ctx:logits()) end,
}
