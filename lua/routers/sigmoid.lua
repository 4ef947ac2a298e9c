-- Sigmoid scores; a bias that no gradient moves chooses, the scores weigh.

local choice = require "switchyard.model.choice"
local routing = require "switchyard.model.routing"

return {
  name = "sigmoid",
  rule = "sigmoid of the logits; the K largest of score + bias",
  doc = "Sigmoid scores; a bias that no gradient moves chooses (balance rule bias), the scores "
    .. "weigh, made to sum to 1 (normalize=false or K = 1: not).",
  source = "DeepSeek-V3, 2024, without its groups",
  rows = {routing.NORMALIZE, {"scale", "number", 1, 0, 1e3, help = "factor on the gates"}},
  gives = "logits scores bias",
  except = {one = "its gate is the score"},
  route = function(ctx)
    local s = ctx:logits():sigmoid()
    local bias = ctx:bias()
    local _, experts = ctx:choose(ctx:_as_before() and s + bias or s + bias + ctx:mask())
    -- The spread of the bias is put out there and not in ctx:bias(): stored runs go by the order.
    return choice.weighed(ctx, s, experts, bias)
  end,
}
