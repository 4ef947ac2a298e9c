-- The balance loss of DeepSeek-V3: as aux within each sequence, but that f counts the K experts of
-- the largest scores, whatever else (a bias, groups) had its say in the choice.

local nn = require "switchyard.model.nn"

return {
  name = "sequence",
  doc = "The load-balancing loss E * sum of f_e P_e of each sequence, and the mean of these: f "
    .. "counts the K experts of a token that have the largest scores, whatever else chose (a bias, "
    .. "groups), P is the mean of the scores. In the paper 1e-4, which is 1e-4 here.",
  source = "DeepSeek-V3, 2024, eq. 17-20",
  needs = "scores",
  rows = {{"sequence", "number", nil, 0, 1e6,
           help = "weight of the balance loss within sequences; the paper's is 1e-4"}},
  loss = function(ctx, routing)
    local P = ctx:sequence_means(routing.scores)
    local _, largest = routing.scores:topk(ctx.K, -1)
    local f = ctx:without_padding(largest):moe_load({experts = ctx.E, groups = ctx.B})
    f = f:view(ctx.B, ctx.E)
    nn.loss("sequence", (f * P):sum() * (ctx.E / ctx.B), ctx:setting "sequence")
  end,
}
