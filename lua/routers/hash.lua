-- Experts by the token id: a table that is drawn once.  Nothing is learned.

local nn = require "switchyard.model.nn"
local token_table = require "switchyard.model.token_table"

return {
  name = "hash",
  rule = "K experts by the token id; gates 1/K",
  doc = "A token's experts are those of its id, by a table that is drawn by seed, another in each "
    .. "layer. Nothing is learned: a control, and a strong one.",
  paper = "one expert a token, its gate 1",
  source = "Roller et al. 2021",
  rows = {{"seed", "integer", 1, 0, 1 << 53, help = "of the table of token ids"}},
  gives = "",
  except = {order = "they are by token id", ties = "they are by token id"},
  normalized = true,
  route = function(ctx)
    local V, seed = nn.description().model.cfg.vocab, ctx.options.seed
    local rows = token_table(V, ctx.E, ctx.K, seed, ctx.layer or 0)
    local experts = rows:embedding(ctx:ids()):cast "i32"
    return {experts = ctx:take(experts), gates = tensor.full({ctx.N, ctx.K}, 1 / ctx.K)}
  end,
}
