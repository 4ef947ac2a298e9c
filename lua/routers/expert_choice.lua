-- Each expert takes its top tokens: loads are even by construction, and a token may have any number
-- of experts.  In our convention an expert takes factor * K/E of the tokens: the paper's capacity
-- factor c is factor * K.

local nn = require "switchyard.model.nn"

local SCOPES = {"sequence", "micro"}

-- Every expert's number for every token, 0 for padding: (N,E).
local function every_expert(ctx)
  local numbers = {}
  for e = 1, ctx.E do numbers[e] = e end
  local all = tensor(numbers, {dtype = "i32"}):view(1, ctx.E):expand({ctx.N, ctx.E})
  local padding = ctx:padding()
  if not padding then return all:contiguous() end
  local none = tensor.zeros({ctx.N, ctx.E}, {dtype = "i32"})
  return padding:view(ctx.N, 1):where(none, all)
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
    local n = ctx.N // groups
    local each = math.min(n, math.ceil(ctx.options.factor * n * ctx.K / ctx.E))
    local taken = every_expert(ctx):moe_admit({
      priority = p:cast "f32", experts = ctx.E, capacity = each, groups = groups}):gt(0)
    nn.observe("no_expert", 1 - ctx:mean(taken:cast("f32"):max(-1)))
    return {chosen = taken, gates = p, scores = p, slots = each * ctx.E * groups}
  end,
}
