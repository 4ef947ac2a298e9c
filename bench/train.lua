-- Time of whole training steps at the shapes of the benchmark models: one line of JSON.
--
--     switchyard bench/train.lua SHAPE [fp32|bf16] [STEPS] [TEXT]
--
-- SHAPE: R1 Mixtral-like, R2 fine-grained, R3 Switch, R4 dense, R5 small.  A step is sampling,
-- forward, backward, clipping and AdamW; its time is the median after 2 steps of warming up.
-- GFLOP/s are model FLOPs (m:count().flops_per_token), the peak is that of FMAs on the same threads
-- in this process, the best of before and after.  The learning rate stays tiny, so that the routers
-- stay as they were drawn; load_max_mean is the mean over layers and steps of the largest load.  No
-- evaluation, no checkpoint.

local shapes = {
  R1 = {layers = 6, dim = 384, heads = 6, batch = 16, experts = 8, top_k = 2, width = 1024,
        context = 256},
  R2 = {layers = 4, dim = 256, heads = 4, batch = 16, experts = 64, top_k = 8, width = 128,
        context = 256},
  R3 = {layers = 6, dim = 256, heads = 4, batch = 16, experts = 64, top_k = 1, width = 1024,
        context = 256},
  R4 = {layers = 6, dim = 384, heads = 6, batch = 16, experts = 1, top_k = 1, width = 1024,
        context = 256},
  R5 = {layers = 4, dim = 128, heads = 4, batch = 12, experts = 8, top_k = 2, width = 256,
        context = 64},
}

local name, precision, steps = arg[1] or "R1", arg[2] or "fp32", tonumber(arg[3] or 20)
local text = arg[4] or "/usr/share/common-licenses"
local s = shapes[name] or error("bench/train.lua: unknown shape '" .. name
  .. "': R1 R2 R3 R4 R5", 0)
local skip = 2

local function build()
  local o = {layers = s.layers, dim = s.dim, heads = s.heads, context = s.context, vocab = 256}
  if s.experts == 1 then
    o.ffn_dim = s.width
    return model.dense(o)
  end
  o.experts, o.top_k, o.expert_dim = s.experts, s.top_k, s.width
  return model.moe(o)
end

local function peak()
  local _, fp32, bf16 = tensor.cpu(true)
  return precision == "bf16" and bf16 or fp32
end

local function median(values)
  table.sort(values)
  local n = #values
  return n % 2 == 1 and values[n // 2 + 1] or (values[n // 2] + values[n // 2 + 1]) / 2
end

-- Values of a series after the warm-up.
local function series(r, what)
  local values, rows = {}, r:history(what):table()
  for i = skip + 1, #rows do values[#values + 1] = rows[i][2] end
  return values
end

-- Mean over layers and steps of the most loaded expert's share of the ideal.
local function load_max_mean(r, m)
  local sum, n = 0, 0
  for l = 1, #m.layers do
    local load = r.layers[l].load
    if load then sum, n = sum + load:max():item(), n + 1 end
  end
  return n > 0 and sum / n or 1
end

local function peak_rss()
  for line in io.lines "/proc/self/status" do
    local kb = line:match "^VmHWM:%s+(%d+)"
    if kb then return tonumber(kb) * 1024 / 1e9 end
  end
  return 0
end

local d = assert(data.text(text, {tokenizer = tokenizer.bytes()}))
local m = build()
local before = peak()
local r = train(m, d, {steps = steps + skip, batch = s.batch, context = s.context,
                       precision = precision, health_every = tonumber(os.getenv "HEALTH" or 0),
                       lr = 3e-4, warmup = 1000, schedule = "constant", eval_every = 0,
                       save = false})
r:wait()
if r.state ~= "done" then error("bench/train.lua: " .. tostring(r.error), 0) end
local best = math.max(before, peak())

local parts = {data = series(r, "time.data"), compute = series(r, "time.compute"),
               optimizer = series(r, "time.optimizer")}
local all = {}
for i = 1, steps do all[i] = parts.data[i] + parts.compute[i] + parts.optimizer[i] end
local seconds, tokens = median(all), s.batch * s.context
local gflops = m:count().flops_per_token * tokens / seconds / 1e9
if os.getenv "PROFILE" then io.stderr:write(r:profile()) end

local fields = {
  {"shape", name}, {"precision", precision}, {"threads", tensor.threads()},
  {"kernels", (tensor.cpu())},
  {"steps", steps}, {"step_s", seconds}, {"fastest_step_s", all[1]}, {"gflops", gflops},
  {"peak_gflops", best / 1e9}, {"share", gflops * 1e9 / best}, {"tok_s", tokens / seconds},
  {"data_s", median(parts.data)}, {"compute_s", median(parts.compute)},
  {"optimizer_s", median(parts.optimizer)}, {"rss_gb", peak_rss()},
  {"load_max_mean", load_max_mean(r, m)},
  {"params", m:count().total}, {"loss", r.loss},
}
local out = {}
for i, f in ipairs(fields) do
  local v = f[2]
  v = math.type(v) == "integer" and ("%d"):format(v) or type(v) == "number" and
    ("%.6g"):format(v) or '"' .. v .. '"'
  out[i] = ('"%s": %s'):format(f[1], v)
end
print("{" .. table.concat(out, ", ") .. "}")
