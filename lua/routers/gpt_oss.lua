-- The K largest of logits with an ordinary, learned bias; softmax over the K.

local nn = require "switchyard.model.nn"

return {
  name = "gpt_oss",
  rule = "the K largest of x w + b, b learned as any weight; softmax over the K",
  doc = "The K largest logits, which have an ordinary bias (gate.bias), and a softmax over these "
    .. "alone. For K = 1 that is 1, and the router would not learn. Experts are those of its "
    .. "paper where nothing else is said: activation = \"swiglu_oai\", expert_bias = true.",
  paper = "4 of 32 or 128 experts; what balanced them is not published",
  source = "gpt-oss, OpenAI 2025",
  model = {activation = "swiglu_oai", expert_bias = true},
  check = function(E, K)
    if K == 1 and E > 1 then return "top_k is 1; a softmax over one is 1 whatever its logit is" end
  end,
  normalized = true,
  route = function(ctx)
    local b = nn.param("gate.bias", {ctx.E}, "zeros", {role = "bias"})
    local logits = ctx:logits {b = b}
    local values, experts = ctx:choose(logits)
    return {gates = values:softmax(-1), experts = experts, scores = logits:softmax(-1)}
  end,
}
