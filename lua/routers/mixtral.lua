-- Softmax over the K largest logits.

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
  check = function(E, K)
    if K == 1 and E > 1 then return "top_k is 1; a softmax over one is 1 whatever its logit is" end
  end,
  normalized = true,
  route = function(ctx)
    local logits = ctx:logits()
    local values, experts = ctx:choose(logits)
    return {gates = values:softmax(-1), experts = experts, scores = logits:softmax(-1)}
  end,
}
