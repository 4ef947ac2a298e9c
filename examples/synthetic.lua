-- Text whose entropy is known: no model can fall below it, and a good one comes close.  Eight
-- sparse Markov chains, one a document; the experts can share them among themselves.
--
--     switchyard examples/synthetic.lua [STEPS]

local steps = assert(math.tointeger(tonumber(arg[1] or 500)), "STEPS must be a whole number")
local d = data.synthetic{domains = 8, tokens = 1e6, seed = 1}
local m = model.moe{layers = 2, dim = 64, heads = 4, context = 64, vocab = d.vocab,
                    experts = 8, top_k = 2, expert_dim = 64}
local r = train(m, d, {steps = steps, batch = 16, lr = 5e-3, eval_every = 0})

print(("%10s %10s %10s"):format("step", "loss", "above entropy"))
every(r, math.max(1, steps // 8), function(r)
  print(("%10d %10.3f %10.3f"):format(r.step, r.loss, r.loss - d.entropy))
end)
r:wait()

local loss = r:eval(20)
print(("validation loss %.3f, entropy of the text %.3f: %.3f nats a token are left to learn")
  :format(loss, d.entropy, loss - d.entropy))
