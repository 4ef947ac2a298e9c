-- The K largest of logits with an ordinary, learned bias; softmax over the K.

local choice = require "switchyard.model.choice"
local nn = require "switchyard.model.nn"

return {
  name = "gpt_oss",
  rule = "the K largest of x w + b, b learned as any weight; softmax over the K",
  doc = "The K largest logits, which have an ordinary bias (gate.bias), and a softmax over these "
    .. "alone. For K = 1 that is 1, and the router would not learn. Experts are those of its "
    .. "paper where nothing else is said: activation = \"swiglu_oai\", expert_bias = true.",
  paper = "4 of 32 or 128 experts; what balanced them is not published: aux and z are ours",
  source = "gpt-oss, OpenAI 2025",
  model = {activation = "swiglu_oai", expert_bias = true},
  normalized = true,
  check = choice.check_chosen,
  route = function(ctx)
    local b = nn.param("gate.bias", {ctx.E}, "zeros",
      {role = "bias", frozen = ctx.options.frozen == true})
    return choice.softmax_of_chosen(ctx, ctx:logits {b = b})
  end,
}
