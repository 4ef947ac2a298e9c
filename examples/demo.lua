-- The demonstration that ./bootstrap demo runs: a mixture of experts learns to write like a text
-- within two minutes on two cores.
--
--     switchyard examples/demo.lua [TEXT] [SECONDS]
--
-- By default the text is what every Debian machine says of whose its programs are.
--
-- A bare Debian has 0.7 million tokens of that, one with many programs more than the demonstration
-- reads.

local function copyrights()
  local there = io.open "/usr/share/doc/libc6/copyright"
  if not there then return "/usr/share/common-licenses" end
  there:close()
  return "/usr/share/doc/*/copyright"
end

local path = arg[1] or copyrights()
local budget = assert(tonumber(arg[2] or os.getenv "SWITCHYARD_DEMO_SECONDS" or 100),
  "SECONDS must be a number")

print("Switchyard trains a mixture of experts on " .. path)
-- tok, d, m and r are globals: in the workbench they are there to be looked at and changed.
tok = assert(tokenizer.train_bpe(path, {vocab = 1024}))
d = assert(data.text(path, {tokenizer = tok, val = 0.05}))
print(("%d tokens of %d kinds (byte-pair encoding learned from the text)")
  :format(d.tokens, tok.size))

local shape = {layers = 4, dim = 192, heads = 6, context = 128, vocab = tok, experts = 8, top_k = 2,
               expert_dim = 256}
m = model.moe(shape)
print(m)

-- A few steps of another model of this shape tell the speed: as many steps as fit into the budget.
local began = os.time()
local probe = train(model.moe(shape), d, {steps = 10, batch = 16, name = "speed", save = false,
                                          eval_every = 0}):wait()
local tok_s = probe.tok_s
probe:close()
probe = nil
local before = m:loss(d, {batches = 5})
local steps = math.max(25, math.floor((budget - (os.time() - began)) * tok_s / (16 * 128)))

r = train(m, d, {steps = steps, batch = 16, lr = 3e-3, min_lr = 2e-4, warmup = 30,
                 weight_decay = 0.1, eval_every = 100, eval_batches = 5})
r:wait()

local after = r:eval(20)
print(("\nvalidation loss: %.3f before, %.3f after %d steps (%d tokens), nats a token")
  :format(before, after, r.step, r.tokens))
print(("speed: %.0f tokens/s%s"):format(r.tok_s,
  r.mfu and (", %.0f%% of this machine's peak"):format(100 * r.mfu) or ""))

print("\nload of the experts at the last step (1 = a fair share)")
local head = {"layer"}
for e = 1, 8 do head[#head + 1] = ("%6d"):format(e) end
print(table.concat(head, " "))
for l = 1, #m.layers do
  local row = {("%5d"):format(l)}
  for e = 1, 8 do row[#row + 1] = ("%6.2f"):format(r.layers[l].load[e]) end
  print(table.concat(row, " "))
end

print("\na sample:\n")
print(m:generate("The ", {tokens = 150, temperature = 0.7, top_k = 40, seed = 3}))
