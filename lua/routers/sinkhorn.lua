-- Sinkhorn: in training the top K of a plan that spreads the tokens evenly over the experts.

local nn = require "switchyard.model.nn"
local routing = require "switchyard.model.routing"

-- By how much of its share an expert's weight in the plan is off: it ends after 1000 rounds as
-- well.  Of padding alone there is no share.
local function uneven(ctx, plan)
  local sums = plan:sum(1)
  return (sums * ctx.E / sums:sum():maximum(1e-30) - 1):abs():max()
end

return {
  name = "sinkhorn",
  rule = "in training the K largest of exp(logits) scaled to even rows and columns, else of logits",
  doc = "In training the experts of a token are the K largest of exp(logits) scaled until each "
    .. "token weighs 1/N and each expert 1/E (moe_sinkhorn), through which no gradient goes; in "
    .. "evaluation the K largest logits, or with balanced_eval = 1 as in training, each sequence "
    .. "apart. The gate is the sigmoid of the logit for K = 1, the softmax over all experts for "
    .. "more, not made to sum to 1. Series agreement: the share of choices that are the same by "
    .. "both rules; uneven: how far off its share an expert of the plan is, which is large where "
    .. "1000 rounds were not enough.",
  source = "Clark et al. 2022, as in Megatron-LM",
  paper = "tolerance 1e-4, aux 0; here likewise",
  rows = {
    {"tolerance", "number", 1e-4, 1e-12, 1,
     help = "mean change of an expert's factor that ends it"},
    routing.BALANCED_EVAL,
  },
  gives = "logits",
  balance = {z = 0},
  except = {one = "for K = 1 its gate is the sigmoid of the logit",
            step = "in training a token's experts go by the others of its micro-batch"},
  normalized = false,
  route = function(ctx)
    local logits = ctx:logits()
    local experts = ctx:balanced(function(groups)
      local c = ctx:without_padding((logits - logits:max(-1, true)):exp())
      local plan = c:cast("f32"):moe_sinkhorn({groups = groups, tolerance = ctx.options.tolerance})
      nn.observe("uneven", uneven(ctx, plan))
      return select(2, plan:topk(ctx.K, -1))
    end, function() return select(2, logits:topk(ctx.K, -1)) end)
    local p = logits:softmax(-1)
    local gates = ctx.K == 1 and logits:sigmoid() or p
    return {experts = experts, gates = gates:gather(-1, experts), scores = p}
  end,
}
