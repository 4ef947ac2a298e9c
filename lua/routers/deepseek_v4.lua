-- Scores sqrt(softplus(logit)); a bias that no gradient moves chooses.  In the first layers a table
-- over token ids chooses instead, and the scores still weigh.

local choice = require "switchyard.model.choice"
local nn = require "switchyard.model.nn"
local routing = require "switchyard.model.routing"
local token_table = require "switchyard.model.token_table"

-- sqrt(softplus) has no gradient where softplus is 0: far below, and at -inf of a disabled expert.
local function score(logits) return logits:maximum(-80):softplus():sqrt() end

local function by_token(ctx)
  local V = nn.description().model.cfg.vocab
  return token_table(V, ctx.E, ctx.K, ctx.options.seed, ctx.layer):embedding(ctx:ids()):cast "i32"
end

return {
  name = "deepseek_v4",
  rule = "sqrt(softplus); the K largest of score + bias; the first layers by token id",
  doc = "Scores sqrt(softplus(logit)); a bias that no gradient moves chooses (balance rule bias), "
    .. "the scores weigh: they are made to sum to 1 (normalize=false or K = 1: not), times scale. "
    .. "In the first hash_layers layers a token's experts are those of its id, by a table that is "
    .. "drawn by seed; their gates are learned all the same, and there is no bias.",
  paper = "scale 1.5, 6 of 256 experts and a shared one, 3 layers by token id, no groups; gamma "
    .. "0.001, no sequence loss",
  source = "DeepSeek-V4 as in transformers, 2026; Roller et al. 2021 (by token id)",
  rows = {
    routing.NORMALIZE, {"scale", "number", 1.5, 0, 1e3, help = "factor on the gates"},
    {"hash_layers", "integer", 3, 0, 1024, help = "leading layers that go by token ids"},
    {"seed", "integer", 1, 0, 1 << 53, help = "of the table of token ids"},
  },
  gives = "logits scores bias",
  balance = {aux = 0, z = 0, gamma = 1e-3, recentre = true},
  except = {one = "its gate is the score times scale", order = "the first layers' are by token id",
            ties = "the first layers' are by token id"},
  route = function(ctx)
    local s = score(ctx:logits())
    if (ctx.layer or math.huge) <= ctx.options.hash_layers then
      local r = choice.weighed(ctx, s, ctx:take(by_token(ctx)))
      r.fewer, r.gives = true, "logits"
      return r
    end
    local bias = ctx:bias()
    local _, experts = ctx:choose(s + bias + ctx:mask())
    return choice.weighed(ctx, s, experts, bias)
  end,
}
