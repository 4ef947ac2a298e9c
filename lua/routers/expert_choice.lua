-- Each expert takes its top tokens: loads are even by construction, and a token may have any number
-- of experts.  In our convention an expert takes factor * K/E of the tokens: the paper's capacity
-- factor c is factor * K.

local capacity = require "switchyard.model.capacity"
local nn = require "switchyard.model.nn"

local SCOPES = {"sequence", "micro"}

-- Places of an expert in a group of n tokens.
local function places_of(ctx, n)
  return math.min(n, capacity.up(ctx.options.factor * n * ctx.K / ctx.E))
end

-- Of each group (groups) i32, by its tokens that are no padding: what those beside it would hold
-- gives it no place.  nil: where none is.
local function places_by_group(ctx, groups)
  local padding, n, list = ctx:padding(), ctx.N // groups, {}
  if not padding then return nil end
  for i = 0, n do list[i + 1] = places_of(ctx, i) end
  local real = padding:logical_not():view(groups, n):cast("f32"):sum(2)
  return tensor(list):view(n + 1, 1):embedding(real:cast "i32"):view(groups):cast "i32"
end

return {
  name = "expert_choice",
  rule = "softmax over the experts; each expert takes its top tokens",
  doc = "Softmax over all experts; each expert takes the tokens with its largest probabilities, "
    .. "which are their gates: factor * K/E of those of a sequence, or of a micro-batch in "
    .. "training (scope). Loads are even without a loss; a token may have no expert (series "
    .. "no_expert).",
  source = "Zhou et al. 2022",
  paper = "capacity factor c = 2: c/E of the tokens of a batch for each expert, which is factor = "
    .. "c/K here",
  rows = {
    {"factor", "number", 1, 0.01, 1e3, help = "tokens of an expert as a factor of K/E of them"},
    {"scope", "string", "sequence", choices = SCOPES,
     help = "of what they are the top ones in training; in evaluation of a sequence"},
  },
  gives = "logits",
  balance = {z = 0},
  causal = false,
  leak = "an expert's tokens are its best of a whole sequence, so a later token takes an earlier "
    .. "one's place",
  capacity = "each expert takes its own number of tokens (factor)",
  normalized = false,
  route = function(ctx)
    local p = ctx:logits():softmax(-1)
    local micro = ctx.options.scope == "micro" and ctx.mode == "train"
    local groups = micro and 1 or ctx.B
    local each = places_of(ctx, ctx.N // groups)
    local taken = ctx:without_padding(ctx:numbers()):moe_admit({
      priority = p:cast "f32", places = places_by_group(ctx, groups), experts = ctx.E,
      capacity = each, groups = groups}):gt(0)
    nn.observe("no_expert", 1 - ctx:mean(taken:cast("f32"):max(-1)))
    return {chosen = taken, gates = p, scores = p, slots = each * ctx.E * groups}
  end,
}
