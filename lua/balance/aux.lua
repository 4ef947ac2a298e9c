-- The load-balancing loss: E * sum of f_e P_e, f the experts' shares of the assignments before any
-- drop (sum 1), P the mean of the scores over all experts (sum 1).

local nn = require "switchyard.model.nn"

-- Of each of n parts of the micro-batch, and their mean.
local function of_parts(ctx, routing, n)
  local P = ctx:sequence_means(routing.scores, n)
  local f = routing.experts:moe_load({experts = ctx.E, groups = n}):view(n, ctx.E)
  return (f * P):sum() * (ctx.E / n)
end

local function of_sequences(ctx, routing) return of_parts(ctx, routing, ctx.B) end

-- A micro-batch's part of what the whole step has: f is the step's, and the mean of the parts,
-- which is learned from, has the step's P: a part with more tokens counts more.
local function of_step(ctx, routing)
  return (ctx:_load_for "aux" * ctx:weighed(routing.importance, "aux")):sum() * ctx.E
end

local function of_micro_batch(ctx, routing)
  return (routing.load * routing.importance):sum() * ctx.E
end

local function of_groups(ctx, routing)
  local n = ctx:groups()
  return n > 1 and of_parts(ctx, routing, n) or of_micro_batch(ctx, routing)
end

local SCOPES = {micro = of_micro_batch, sequence = of_sequences, group = of_groups, step = of_step}

return {
  name = "aux",
  doc = "The load-balancing loss E * sum of f_e P_e: f the experts' shares of the assignments, "
    .. "before any drop, P the mean scores; both sum to 1. Layers are added. scope says of what: "
    .. "of each micro-batch, of each sequence, of each group that capacity keeps apart, or of the "
    .. "whole step, exactly as of one large batch; with accumulate over 1, and while aux is not 0, "
    .. "that takes a forward pass more, up to the last router, whose cost is said.",
  source = "Fedus et al. 2021; scopes: DeepSeek-V3, 2024 (sequence), Qiu et al. 2025 (step)",
  needs = "scores",
  rows = {
    {"aux", "number", 0.01, 0, 1e6, help = "weight of the load-balancing loss"},
    {"scope", "string", nil, choices = {"micro", "sequence", "group", "step"},
     help = "what the loads are even over: micro (a micro-batch, the default), sequence, group (of "
       .. "capacity; without groups micro) or step"},
  },
  loss = function(ctx, routing)
    nn.loss("balance", SCOPES[ctx:scope()](ctx, routing), ctx:setting "aux")
  end,
}
