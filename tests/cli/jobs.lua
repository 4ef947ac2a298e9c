-- The script of jobs.pty: it trains, waits in a loop and prints, beside the prompt.
-- What waits in held() does so until the scenario says `go`.
function held() repeat sleep(0.02) until os.remove(os.getenv "GO") end

local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = 256, experts = 4,
                    expert_dim = 16}
local f <close> = io.open(os.getenv "srcdir" .. "/LICENSE")
local d = data.string(f:read "a":rep(400), {val = 0.99}) -- an evaluation of all of it takes long
r = train(m, d, {steps = 1000000000, batch = 1, eval_every = 0, checkpoint_every = 0,
                 name = "beside", paused = true})
print("script", ...)
sleep(1e9)
