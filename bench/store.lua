-- A run of 6 layers x 64 experts whose rows bench/store repeats: what the trainer records, as it
-- records it.
--
--     switchyard --runs DIR bench/store.lua [STEPS, 2000] [TEXT]        then  bench/store DIR/store
--
-- The model is small, so that it takes a minute; 1024 tokens a step to 8 experts each, as the
-- values of the series (so their bytes on disk) depend on how many tokens an expert gets.
local steps, text = tonumber(arg[1] or 2000), arg[2] or "/usr/share/common-licenses"
local m = model.moe{layers = 6, dim = 16, heads = 1, experts = 64, top_k = 8, expert_dim = 4,
                    context = 128, vocab = 256}
local d = assert(data.text(text, {tokenizer = tokenizer.bytes()}))
local r = train(m, d, {steps = steps, batch = 8, name = "store", eval_every = 200,
                       checkpoint_every = 0, save = true}):wait()
if r.state ~= "done" then error("bench/store.lua: " .. tostring(r.error), 0) end
