-- One expert a token; the sigmoid of its logit multiplies what the expert is given.

local choice = require "switchyard.model.choice"

return {
  name = "llama4",
  rule = "the largest logit; its sigmoid multiplies the expert's input",
  doc = "One expert a token, that of the largest logit; the sigmoid of this logit multiplies what "
    .. "the expert is given, not what it makes. Made for a shared expert beside it "
    .. "(shared_experts = 1).",
  paper = "1 of 16 or 128 experts and a shared one; what balanced them is not published: aux "
    .. "and z are ours",
  source = "Llama 4, Meta 2025",
  model = {top_k = 1},
  except = {one = "its gate is the score"},
  check = function(_, K)
    if K ~= 1 then return ("top_k is %d; it sends a token to one expert"):format(K) end
  end,
  normalized = false,
  route = function(ctx)
    local logits = ctx:logits()
    local largest, experts = ctx:choose(logits)
    local s = logits:sigmoid()
    return {gates = largest:sigmoid(), experts = experts, gate_on = "input",
            scores = choice.shares(s)}
  end,
}
