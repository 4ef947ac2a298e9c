-- ReMoE: a gate is the ReLU of its logit, and what is over 0 is chosen, so any number of experts is
-- a token's.  An L1 loss whose weight is steered makes that K of E in the mean:
--
--     lambda * E * sum over experts of (mean gate) * count / (N K);  lambda times or by `rate` a
--     step, as the share of experts that are not chosen, over all layers and micro-batches, is
--     under or over 1 - K/E
--
--  1. It begins dense: the first hundreds of steps cost E/K times what they do later, and memory is
--     for all N * E.
--  2. lambda is one for all layers, a state; what it is steered by are whole numbers, so it is the
--     same however a step is cut.  It stays within LEAST and MOST: from 0 or infinity it could not
--     come back.
--  3. With scope = "step" means and counts are those of the whole step.

local nn = require "switchyard.model.nn"

local LEAST, MOST = 1e-20, 1e10

-- layers: of each how many experts are chosen over what is wanted.
local function steer(o)
  return function(layers)
    local rate = o.rate
    local over = layers[1]
    for i = 2, #layers do over = over + layers[i] end
    local lambda = nn.model_state("relu.lambda", tensor.zeros(1))
    local more = nn.step_sum("relu.over", over):gt(0)
    local factor = more:where(tensor.full(1, rate), tensor.full(1, 1 / rate))
    if o.l1 > 0 then nn.update(lambda, (lambda * factor):clamp(LEAST, MOST)) end
    nn.observe("lambda", lambda)
  end
end

-- The loss, by what the means are of.
local LOSS = {}

function LOSS.micro(ctx, gates, chosen)
  return (ctx:mean(gates) * ctx:mean(chosen)):sum() * (ctx.E / ctx.K)
end

local function of_parts(ctx, gates, chosen, n)
  local each = ctx:sequence_means(gates, n) * ctx:sequence_means(chosen, n)
  return each:sum() * (ctx.E / (n * ctx.K))
end

function LOSS.sequence(ctx, gates, chosen) return of_parts(ctx, gates, chosen, ctx.B) end

function LOSS.group(ctx, gates, chosen) return of_parts(ctx, gates, chosen, ctx:groups()) end

-- A micro-batch's part, of which the mean is the whole step's.
function LOSS.step(ctx, gates, chosen)
  local share = ctx:whole("l1.count", chosen:sum(1)) / ctx:count "step"
  return (ctx:weighed(ctx:mean(gates)) * share):sum() * (ctx.E / ctx.K)
end

return {
  name = "relu",
  rule = "the experts whose logit is over 0; the gate is the logit",
  doc = "ReMoE: the gate is the ReLU of the logit, an expert is used where it is over 0, and a "
    .. "token may use any number. An L1 loss, heavier for experts that have more, makes it K in "
    .. "the mean: its weight lambda (a series) grows or shrinks by rate a step until it is so. "
    .. "It begins dense: the first hundreds of steps cost up to E/K times as much, and memory is "
    .. "for all N*E.",
  source = "ReMoE, Wang et al. 2024",
  paper = "lambda 1e-8 at first, rate 1.2; count over N K, as here",
  rows = {
    {"l1", "number", 1e-8, 0, 1, help = "lambda before the first step"},
    {"rate", "number", 1.2, 1.000001, 10, help = "factor of lambda's change a step"},
  },
  varies = true,
  gives = "logits", scoped = true, balance = {z = 0},
  except = {one = "its gate is the logit"},
  normalized = false,
  check = function(_, _, o)
    if o.frozen then return "frozen = true: nothing could bring it to K experts a token" end
  end,
  route = function(ctx)
    local gates = ctx:without_padding(ctx:logits():relu())
    local lambda = nn.model_state("relu.lambda", tensor.full(1, ctx.options.l1))
    local chosen = gates:gt(0)
    local ones = chosen:cast "f32"
    nn.observe("active", ctx:mean(ones:sum(-1)))
    nn.of_layers("relu", ones:sum():view(1) - ctx:count() * ctx.K, steer(ctx.options),
      ("l1 = %g, rate = %g"):format(ctx.options.l1, ctx.options.rate))
    return {chosen = chosen, gates = gates, loss = function()
      nn.loss("l1", LOSS[ctx:scope()](ctx, gates, ones), lambda:view {})
    end}
  end,
}
