-- tensor.load(path, {mapped = true}): tensors that are seen where they lie in a file, read-only; a
-- file that is cut or written over meanwhile ends in one clear line, wherever it is noticed, and
-- never in a crash or in numbers that are none.  tensor.mxfp4.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is = t.ok, t.is

local folder = t.folder "files"
local function at(name) return folder .. "/" .. name end

local w = tensor.randn(64, 96, {seed = 1})
local many = {
  f32 = w, f64 = w:cast "f64", bf16 = w:cast "bf16", f16 = w:cast "f16",
  i32 = tensor.arange(7):cast "i32", u8 = tensor.full({5}, 200, {dtype = "u8"}), yes = w:gt(0),
  nothing = tensor.zeros(0, 3), one = tensor.full({}, 2.5),
}
tensor.save(at "many.safetensors", many)

-- ---- values ----

local m = assert(tensor.load(at "many.safetensors", {mapped = true}))
for name, want in t.sorted(many) do
  ok(m[name]:equal(want) and m[name].dtype == want.dtype, name .. " is what was saved")
  is(m[name].mapped, name ~= "yes",
    name .. (name ~= "yes" and " lies in the file" or " is looked at, and read"))
  ok(m[name]:cast "f32":equal(tensor.load(at "many.safetensors")[name]:cast "f32"),
    name .. ": as when read")
end
local x = tensor.randn(3, 96, {seed = 2})
local halves = w:cast "bf16":cast "f32"
ok(x:matmul(m.f32.T):equal(x:matmul(w.T)) and x:linear(m.bf16):equal(x:linear(halves)),
  "products")
ok(m.f32:narrow(1, 3, 5):sum():equal(w:narrow(1, 3, 5):sum()) and m.f32[9]:equal(w[9]), "views")
ok(tostring(m.f32):find "   mapped   min", "printed", tostring(m.f32))
ok(m.f32:clone().mapped == false and m.f32:clone():hash() == w:hash(), "a clone is in memory")
ok(m.f32:save(at "again.safetensors") and tensor.load(at "again.safetensors"):equal(w),
  "saved again")
local loaded = tensor.load(at "again.safetensors", {mapped = true})
ok(loaded.mapped and loaded:equal(w), "a file of one tensor gives that tensor")

-- ---- refused ----

t.refuses(function() m.f32[1][2] = 0 end, "no element is written", "assign: the tensor lies in",
  "many.safetensors, which is mapped to be read", ":clone()")
t.refuses(function() m.f32:fill(0) end, "not filled", "mapped to be read")
t.refuses(function() m.f32[m.f32:gt(0)] = 0 end, "nor by a mask", "mapped to be read")
w:save(at "x.npy")
t.refuses(function() tensor.load(at "x.npy", {mapped = true}) end, "no .npy",
  "only .safetensors files are mapped")
t.refuses(function() tensor.load(at "many.safetensors", {maped = true}) end, "misspelt", "load: ",
  "'maped' (did you mean 'mapped'?)")
local none, why, code = tensor.load(at "none.safetensors", {mapped = true})
ok(none == nil and code == "NOTFOUND", "a missing file", why)

-- ---- odd places ----

local function file_of(header, bytes) return string.pack("<s8", header) .. bytes end
local odd = file_of('{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},'
  .. '"b":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}}', "\1\2\3" .. string.pack("<ff", 1.5,
    -2))
local got = assert(tensor.load(t.write(at "odd.safetensors", odd), {mapped = true}))
ok(got.b:equal(tensor{1.5, -2}) and not got.b.mapped and got.a:equal(tensor{1, 2, 3}),
  "floats at an odd address are read")
none, why = tensor.load(t.write(at "short.safetensors", odd:sub(1, -2)), {mapped = true})
ok(none == nil and why:find("short.safetensors", 1, true),
  "a file that ends early is refused at once", why)

-- ---- mxfp4 as gpt-oss has it ----

local codes, values = {}, {0, 0.5, 1, 1.5, 2, 3, 4, 6}
for i = 1, 64 do codes[i] = (i * 7) % 256 end
tensor.save(at "gpt.safetensors", {
  w_blocks = tensor(codes):cast "u8":view(2, 2, 16), w_scales = tensor{{127, 128},
    {126, 0}}:cast "u8"})
local gpt = tensor.load(at "gpt.safetensors", {mapped = true})
local q = tensor.mxfp4(gpt.w_blocks, gpt.w_scales)
local good = q.dtype == "mxfp4" and q.mapped and q.shape[2] == 64 and q.bytes == 68
for row = 1, 2 do
  for i = 0, 63 do
    local byte = codes[(row - 1) * 32 + i // 2 + 1]
    local code = i % 2 == 0 and byte & 15 or byte >> 4
    local scale = ({{1, 2}, {0.5, 2.0 ^ -127}})[row][i // 32 + 1]
    good = good and q[row][i + 1] == (code > 7 and -1 or 1) * values[code % 8 + 1] * scale
  end
end
ok(good, "mxfp4 of blocks and scales: every value")
local y = tensor.randn(5, 64, {seed = 3})
ok(y:linear(q):equal(y:linear(q:cast "f32")) and q:clone():equal(q) and not q:clone().mapped,
  "used, and cloned")
ok(q[2]:equal(q:cast "f32"[2]), "and a row of it")
t.refuses(function() tensor.mxfp4(gpt.w_blocks, gpt.w_scales[1]) end,
  "shapes that do not belong together",
  "mxfp4: blocks must be (..., n, 16)")
t.refuses(function() tensor.mxfp4(w, w) end, "not of floats", "both must be u8")
t.refuses(function() tensor.mxfp4(gpt.w_blocks, gpt.w_scales.T) end, "turned scales",
  "mxfp4: blocks and scales must lie in order")

-- ---- a file that changes ----

local function mapped(name, rows)
  tensor.save(at(name),
    {w = tensor.randn(rows or 2000, 96, {seed = 4}), v = tensor.randn(32, 96, {seed = 5})})
  os.execute("touch -d 2001-02-03 " .. at(name))
  return tensor.load(at(name), {mapped = true})
end
local function cut(name, bytes) os.execute(("truncate -s %d %s"):format(bytes, at(name))) end

local uses = {
  {"matmul", function(a) return x:matmul(a.w.T) end}, {"sum", function(a) return a.w:sum() end},
  {"add", function(a) return a.w + 1 end}, {"table", function(a) return a.w:table() end},
  {"item", function(a) return a.w[2000][96] end}, {"hash", function(a) return a.w:hash() end},
  {"equal", function(a) return a.w:equal(a.w) end}, {"clone", function(a) return a.w:clone() end},
  {"allclose", function(a) return a.w:allclose(a.w) end},
  {"another tensor of the file", function(a) return a.v:sum() end},
}
for i, bytes in ipairs{4096, 700000} do -- pages are missing; the rest of a page reads as zeros
  for _, use in ipairs(uses) do
    local name = ("cut-%d.safetensors"):format(i)
    local a = mapped(name)
    cut(name, bytes)
    t.refuses(function() return use[2](a) end, ("cut to %d bytes: %s"):format(bytes, use[1]),
      name .. " changed while it was mapped: it has " .. bytes .. " bytes, had ")
  end
end
local a = mapped "print.safetensors"
cut("print.safetensors", 4096)
ok(tostring(a.w):find("changed while it was mapped", 1, true) and not tostring(a.w):find "\n",
  "printed: one line")
t.refuses(function() a.w:save(at "copy.safetensors") end, "not saved",
  "changed while it was mapped")
ok(not io.open(at "copy.safetensors"), "and no file made")
a = mapped "over.safetensors"
local f = assert(io.open(at "over.safetensors", "r+b"))
f:seek("set", 5000)
f:write "zeros"
f:close()
t.refuses(function() return a.w:sum() end, "written over, as long as before", "over.safetensors",
  "it was written to")
-- what was read as zeros is never believed again, though the file be as it was
a = mapped "mended.safetensors"
os.execute(("cp -p %s %s"):format(at "mended.safetensors", at "whole"))
cut("mended.safetensors", 4096)
pcall(function() return a.w:sum() end)
os.execute(("cat %s > %s && touch -r %s %s"):format(at "whole", at "mended.safetensors",
  at "whole", at "mended.safetensors"))
t.refuses(function() return a.w:sum() end, "cut, read and mended", "mended.safetensors changed")
-- scales that lie in another file than the blocks
tensor.save(at "blocks.safetensors", {b = tensor(codes):cast "u8":view(2, 2, 16)})
tensor.save(at "scales.safetensors", {s = tensor{{127, 128}, {126, 0}}:cast "u8"})
q = tensor.mxfp4(tensor.load(at "blocks.safetensors", {mapped = true}).b,
  tensor.load(at "scales.safetensors", {mapped = true}).s)
ok(q:equal(tensor.mxfp4(gpt.w_blocks, gpt.w_scales)), "scales in another file")
cut("scales.safetensors", 40)
t.refuses(function() return y:linear(q) end, "which is cut",
  "scales.safetensors changed while it was mapped")
a = mapped "gone.safetensors"
os.remove(at "gone.safetensors")
ok(pcall(function() return a.w:sum() end), "a file that is removed stays with those who mapped it")
tensor.save(at "gone.safetensors", {w = tensor.zeros(1)})
ok(a.v:equal(tensor.randn(32, 96, {seed = 5})), "also when another takes its name")

-- more files, one after the other, than may be mapped at once
local opened = 0
for i = 1, 1100 do
  opened = opened + (tensor.load(at "again.safetensors", {mapped = true}) and 1 or 0)
  if i % 100 == 0 then collectgarbage() end
end
is(opened, 1100, "a mapping ends with its last tensor")

-- every thread of the pool comes to the missing pages
local before = tensor.threads()
tensor.threads(4)
a = mapped("threads.safetensors", 20000)
cut("threads.safetensors", 40960)
t.refuses(function() return x:matmul(a.w.T) end, "four threads",
  "threads.safetensors changed while it was mapped")
tensor.threads(before)
ok((tensor.ones(3) + 1):sum():item() == 6, "and all goes on")

-- ---- in a run ----

local d = data.synthetic{domains = 2, tokens = 4000, seed = 1}
tensor.save(at "table.safetensors", {table = tensor.randn(d.vocab, 32, {seed = 5})})
local function run(name, frozen, steps, paused)
  model.define("frozen_table", function(cfg)
    return function(ids)
      local hidden = frozen:embedding(ids):matmul(nn.param("mix", {32, 32}))
      return nn.head(hidden, nn.param("head", {cfg.vocab, 32}))
    end
  end)
  return train(model.frozen_table{vocab = d.vocab, context = 16}, d,
    {steps = steps, batch = 2, eval_every = 0, checkpoint_every = 0, name = name, paused = paused})
end
local r = run("mapped", tensor.load(at "table.safetensors", {mapped = true}).table, 5)
local plain = run("read", tensor.load(at "table.safetensors").table, 5)
r:wait()
plain:wait()
is(r:hash(), plain:hash(), "a run with a mapped table: the bits of one that was read")
r = run("cut", tensor.load(at "table.safetensors", {mapped = true}).table, 1000, true)
every(r, 3, function() cut("table.safetensors", 200) end)
r:resume()
pcall(r.wait, r)
is(r.state, "failed", "the file is cut in the third step: the run fails")
is(r.step, 3, "at once, and no step is made of zeros")

t.done()
