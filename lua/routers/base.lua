-- BASE: in training tokens are assigned to experts evenly, so that the sum of their logits is the
-- largest that is possible; no loss balances them.  The paper's layer is s * (x + FFN(norm x)) +
-- (1 - s) * x with s = sigmoid(logit), which is x + s * FFN(norm x): what a block makes of the
-- gate.

local choice = require "switchyard.model.choice"
local routing = require "switchyard.model.routing"

return {
  name = "base",
  rule = "in training the best even assignment of tokens to experts, else the largest logit",
  doc = "In training each token goes to one expert so that none has more than its share and the "
    .. "sum of logits is the largest possible (exact: moe_assign); in evaluation to that of its "
    .. "largest logit, or with balanced_eval = 1 as in training, each sequence apart. The gate is "
    .. "the sigmoid of the logit. Series agreement: the share of tokens that both rules send to "
    .. "the same expert. In training a token's expert depends on those beside it.",
  source = "Lewis et al. 2021",
  paper = "one layer of experts, weights orthogonal with gain 0.1, no loss; here likewise",
  rows = {routing.BALANCED_EVAL},
  gives = "",
  model = {top_k = 1},
  capacity = "each expert takes its share of the tokens",
  except = {one = "its gate is the sigmoid of the logit",
            step = "in training a token's expert goes by the others of its micro-batch"},
  check = function(_, K)
    if K == 1 then return nil end
    return ("top_k is %d, it sends each token to one expert: top_k = 1"):format(K)
  end,
  normalized = false,
  route = function(ctx)
    local logits = ctx:logits {init = {"orthogonal", 0.1}}
    local experts = ctx:balanced(function(groups)
      local open = ctx:without_padding(logits, -math.huge) -- which has none is taken out later
      return (open:cast("f32"):moe_assign({groups = groups}):maximum(1))
    end, function() return select(2, logits:topk(1, -1)) end)
    local s = logits:sigmoid()
    return {experts = experts, gates = s:gather(-1, experts),
            scores = choice.shares(s)}
  end,
}
