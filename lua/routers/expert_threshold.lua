-- Expert threshold: an expert takes the tokens whose logit is at or over its cutoff, the moving
-- average of the k-th largest of a batch's logits, k = N K / E: its share, whoever else takes the
-- token.
--
--  1. In the first `warmup` steps the cutoff is that of the batch itself, as in expert choice:
--     there a later token may take an earlier one's place.  It is so in training alone; an
--     evaluation and generation go by the averages from the first step on, and so does training
--     after the warm-up, which is why the router is causal.  That is said before a run begins.
--  2. The average is that of a step's micro-batches, corrected for its zeros at the beginning: it
--     is kept as a sum and the weight of it.

local nn = require "switchyard.model.nn"

local LEAST = -1e30 -- over the -inf of what is disabled

local function of_state(sum, weight) return sum / weight:clamp(1e-30) end

-- Of a batch: (E)
local function of_batch(ctx, logits)
  return ctx:cutoffs(logits):clamp(LEAST)
end

local function say(ctx)
  nn.remark(("router expert_threshold: in training, steps 1 to %d choose among a whole batch, "
    .. "where a later token may take an earlier one's place; evaluation, generation and all "
    .. "later steps go by cutoffs, which see no other token"):format(ctx.options.warmup))
end

-- Of a disabled expert, or of padding alone, there is nothing to learn.
local function learn(ctx, sum, weight, batch)
  local decay, is = ctx.options.decay, batch:gt(LEAST * 0.5)
  local count = nn.step_sum("cutoffs", is:cast "f32")
  local mean = nn.step_sum("cutoff", is:where(batch, tensor.zeros(1))) / count:maximum(1)
  local known = count:gt(0)
  nn.update(sum, known:where(sum * decay + mean * (1 - decay), sum * decay
    + of_state(sum, weight) * (1 - decay)))
  nn.update(weight, weight * decay + (1 - decay))
end

return {
  name = "expert_threshold",
  rule = "the experts whose logit is at or over their cutoff",
  doc = "An expert takes the tokens whose logit is at or over its cutoff, a moving average of "
    .. "what would have given it its share of a batch: K experts a token in the mean, any number "
    .. "for one token, and none waits for another. The gate is the sigmoid of the logit. In the "
    .. "first warmup steps training goes by the cutoff of the batch itself, where a later token "
    .. "may take an earlier one's place (said before a run begins); evaluation and generation "
    .. "never do. Memory is for all N*E.",
  source = "Expert Threshold Routing, 2026 (arXiv 2603.11535)",
  paper = "decay 0.99, warmup 4000, k = N / G of G E experts (here N K / E), a shared expert",
  rows = {
    {"decay", "number", 0.99, 0, 0.999999, help = "of the average of cutoffs"},
    {"warmup", "integer", 4000, 0, 1 << 40, help = "first steps that choose by the batch"},
  },
  varies = true,
  gives = "logits", balance = {z = 0},
  except = {one = "its gate is the score", step = "a step's cutoff is the mean of its batches'"},
  normalized = false,
  route = function(ctx)
    local logits = ctx:logits()
    local sum = nn.state("gate.cutoff", tensor.zeros(ctx.E))
    local weight = nn.state("gate.cutoff_weight", tensor.zeros(1))
    local cutoff = of_state(sum, weight)
    local update
    if ctx.mode == "train" or ctx.mode == "build" then
      local batch = of_batch(ctx, logits)
      update = function() learn(ctx, sum, weight, batch) end
      if ctx.options.warmup > 0 then
        if ctx.mode == "train" then say(ctx) end
        cutoff = nn.step():le(ctx.options.warmup):where(batch, cutoff)
      end
    end
    local chosen = logits:ge(cutoff:clamp(LEAST))
    nn.observe("active", ctx:mean(chosen:cast("f32"):sum(-1)))
    local gates = chosen:where(logits:sigmoid(), tensor.zeros(logits.shape, {dtype = logits.dtype}))
    return {chosen = chosen, gates = gates, update = update}
  end,
}
