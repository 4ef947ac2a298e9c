-- Time of whole training steps of an encoder-decoder: one line of JSON, as train.lua's.
--
--     switchyard bench/encdec.lua SHAPE [fp32|bf16] [STEPS]
--
-- SHAPE: D1 T5 v1.1, D2 the same with a Switch layer in each pair.  Inputs and targets are full
-- rows of random ids, without padding; the page reads documents all the same.  PROFILE=1: seconds a
-- kind of operation.

local V, S, T, B = 4096, 256, 58, 16
local shapes = {D1 = {}, D2 = {experts = 8, router = "softmax", balance = {aux = 0.01, z = 0}}}

local name, precision, steps = arg[1] or "D1", arg[2] or "fp32", tonumber(arg[3] or 12)
local shape = shapes[name] or error("bench/encdec.lua: unknown shape '" .. name .. "': D1 D2", 0)
local skip = 2

-- The encoder reads what the decoder reads, over and over: any text trains it.
local page = model._family "encdec"
model.define("bench", function(cfg)
  local forward = page.build(cfg)
  return function(tokens, batch)
    local inputs = tokens
    while inputs.shape[2] < S do inputs = inputs:cat(tokens, 2) end
    inputs = inputs:narrow(2, 1, math.min(S, inputs.shape[2])):contiguous()
    local zeros = tensor.zeros(inputs.shape, {dtype = "i32"})
    return forward(tokens, {inputs = inputs, input_documents = zeros, documents = batch.documents})
  end
end, page.rows)

local function median(values)
  table.sort(values)
  local n = #values
  return n % 2 == 1 and values[n // 2 + 1] or (values[n // 2] + values[n // 2 + 1]) / 2
end

local function peak()
  local _, fp32, bf16 = tensor.cpu(true)
  return precision == "bf16" and bf16 or fp32
end

local ids = tensor.randint(0, V - 1, 200000, {seed = 1})
local file = os.tmpname() .. ".npy"
assert(ids:save(file))
local d = assert(data.shards(file))
os.remove(file)

local o = {layers = 4, decoder_layers = 4, dim = 256, heads = 4, ffn_dim = 1024, vocab = V,
           input_context = S, context = T}
for k, v in pairs(shape) do o[k] = v end
local m = model.bench(o)
local before = peak()
local r = train(m, d, {steps = steps + skip, batch = B, precision = precision, lr = 3e-4,
                       warmup = 1000, schedule = "constant", eval_every = 0, save = false}):wait()
if r.state ~= "done" then error("bench/encdec.lua: " .. tostring(r.error), 0) end

local all = {}
for _, what in ipairs {"time.data", "time.compute", "time.optimizer"} do
  for i, row in ipairs(r:history(what):table()) do
    if i > skip then all[i - skip] = (all[i - skip] or 0) + row[2] end
  end
end
if os.getenv "PROFILE" then io.stderr:write(tostring(r:profile())) end
local seconds = median(all)
local best = math.max(before, peak())
local gflops = m:count().flops_per_token * B * T / seconds / 1e9
print(('{"shape": "%s", "precision": "%s", "threads": %d, "steps": %d, "step_s": %.6g, '
  .. '"fastest_step_s": %.6g, "gflops": %.6g, "peak_gflops": %.6g, "share": %.4g, "tok_s": %.6g, '
  .. '"params": %d}'):format(name, precision, tensor.threads(), steps, seconds, all[1], gflops,
  best / 1e9, gflops * 1e9 / best, B * T / seconds, m:count().total))
