-- A router of one's own beside the built-in ones, in the form of the files of lua/routers/: options
-- with defaults, and route(ctx), from logits to gates and experts.  It is traced once with the rest
-- of the model, so it runs at the speed of a built-in one made of the same operations; ?mine,
-- routers() and completion know it.
--
--     switchyard examples/router.lua [STEPS]

local steps = assert(math.tointeger(tonumber(arg[1] or 150)), "STEPS must be a whole number")

nn.router("mine", {
  rule = "softplus(logits)^power, the K largest",
  doc = "Scores by softplus: an expert's score does not depend on the others'.",
  rows = {{"power", "number", 0.5, 0.1, 4, help = "of the scores"}},
  route = function(ctx)
    local scores = ctx:logits():softplus() ^ ctx.options.power
    local gates, experts = scores:topk(ctx.K, -1)
    gates = nn.normalize_gates(gates)
    return {gates = gates, experts = experts, scores = scores / scores:sum(-1, true)}
  end,
})
print(routers())

local d = data.synthetic{domains = 8, tokens = 1e6, seed = 1}
local list = {}
for i, router in ipairs{"softmax", "sigmoid", "mine"} do
  local m = model.moe{layers = 2, dim = 64, heads = 4, context = 64, vocab = d.vocab,
                      experts = 8, top_k = 2, expert_dim = 64, router = router}
  local name = router .. os.date "-%d%H%M%S" -- runs are kept: another name each time
  list[i] = train(m, d, {steps = steps, batch = 16, lr = 5e-3, eval_every = steps,
                         eval_batches = 5, name = name})
  list[i]:wait()
end
print(compare(list))
print("\nload of the experts in layer 1 at the last step (1 = a fair share)")
for _, r in ipairs(list) do
  local row = {}
  for e = 1, 8 do row[e] = ("%5.2f"):format(r.layers[1].load[e]) end
  print(("%-20s"):format(r.name) .. table.concat(row, " "))
end
