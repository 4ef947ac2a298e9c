-- Tensors in files: .npy and .safetensors.  TAP.

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, refuses = tap.ok, tap.refuses

local folder = tap.folder "files"
local function at(name) return folder .. "/" .. name end
local function bytes_of(name) return tap.read(at(name)) end

-- ---- .npy ----

for _, dtype in ipairs {"f32", "f64", "i32", "i64", "u8", "bool"} do
  local a = tensor.randint(0, 1, 3, 4, {seed = 2, dtype = dtype})
  ok(a:save(at "a.npy") == true, "save " .. dtype)
  local b = tensor.load(at "a.npy")
  ok(b.dtype == dtype and b:equal(a) and b:hash() == a:hash(), "load " .. dtype)
end
local a = tensor.randn(3, 4, {seed = 1})
a:transpose(1, 2):save(at "t.npy")
ok(tensor.load(at "t.npy"):equal(a:transpose(1, 2)), "a view is saved as it looks")
tensor.full(7):save(at "s.npy")
ok(tensor.load(at "s.npy"):item() == 7 and #tensor.load(at "s.npy").shape == 0, "a scalar")
tensor.zeros(0, 3):save(at "e.npy")
ok(tensor.load(at "e.npy").shape[2] == 3, "an empty tensor")
a:save(at "a.npy")
ok(bytes_of("a.npy"):sub(1, 8) == "\x93NUMPY\1\0", "NumPy's magic")

-- ---- what others write ----

local function npy(name, descr, fortran, shape, data)
  local dict = ("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n"):format(descr,
    fortran, shape)
  local f <close> = assert(io.open(at(name), "wb"))
  f:write("\x93NUMPY\1\0", ("<s2"):pack(dict), data)
  return at(name)
end
local t = tensor.load(npy("f.npy", "<f4", "True", "(2, 3)", ("<ffffff"):pack(1, 4, 2, 5, 3, 6)))
ok(t and t:equal(tensor{{1, 2, 3}, {4, 5, 6}}), "Fortran order: rows are rows")
t = tensor.load(npy("h.npy", "<f2", "False", "(4,)",
  ("<I2I2I2I2"):pack(0x3c00, 0xc000, 0x0001, 0x7bff)))
ok(t and t.dtype == "f32" and t:equal(tensor{1, -2, 2^-24, 65504}), "f16 is read as f32, exactly")
for _, row in ipairs{{"|i1", "b", "i32", -128, 127}, {"<i2", "<i2", "i32", -32768, 32767},
  {"<u2", "<I2", "i32", 0, 65535},
    {"<u4", "<I4", "i64", 0, 4294967295}, {"<u8", "<I8", "i64", 0, math.maxinteger}} do
  t = tensor.load(npy("n.npy", row[1], "False", "(2,)", row[2]:pack(row[4]) .. row[2]:pack(row[5])))
  ok(t and t.dtype == row[3] and t:table()[1] == row[4] and t:table()[2] == row[5],
    row[1] .. " is read as " .. row[3])
end
do
  local header =
    '{"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},'
    .. '"i":{"dtype":"U16","shape":[1],"data_offsets":[4,6]}}'
  local f <close> = assert(io.open(at "half.SafeTensors", "wb"))
  f:write(("<s8"):pack(header), ("<I2I2I2"):pack(0x3800, 0xbc00, 65535))
end
t = tensor.load(at "half.SafeTensors")
ok(t and t.w:equal(tensor{0.5, -1}) and t.i:table()[1] == 65535,
  "and in .safetensors, whose name may be written so")
npy("B.NPY", "<f4", "False", "(1,)", ("<f"):pack(3))
ok(tensor.load(at "B.NPY"):table()[1] == 3, "or so")
os.rename(at "B.NPY", at "b.dat")
ok(tensor.load(at "b.dat"):table()[1] == 3, "content goes before names")
do
  local f <close> = assert(io.open(at "z.npz", "wb"))
  f:write("PK\3\4", ("\0"):rep(22), ("<I2I2"):pack(5, 0), "w.npy", ("\0"):rep(100))
end
local none, why, code = tensor.load(at "z.npz")
ok(none == nil and code == "FORMAT" and why:find("z.npz is an .npz archive", 1, true),
  "an archive is named: " .. tostring(why))

-- ---- .safetensors ----

a:save(at "a.safetensors")
ok(tensor.load(at "a.safetensors"):equal(a), "one tensor comes back as itself")
local many = {["w.b"] = tensor.arange(5), ["w.a"] = a:transpose(1, 2),
              half = tensor.ones(2, {dtype = "bf16"})}
ok(tensor.save(at "m.safetensors", many, {format = "pt"}) == true, "several")
local back = tensor.load(at "m.safetensors")
local n = 0
for name, t in tap.sorted(back) do
  n = n + 1
  ok(t:equal(many[name]) and t.dtype == many[name].dtype, "comes back: " .. name)
end
ok(n == 3, "all of them")
ok(bytes_of("m.safetensors"):find('"__metadata__":{"format":"pt"}', 1, true), "metadata")
do -- a header of 640 bytes begins as a pickle does
  local name, n = "", 0
  repeat
    n = n + 1
    name = ("x"):rep(n)
    tensor.save(at "p.safetensors", {[name] = a})
  until bytes_of("p.safetensors"):sub(1, 2) == "\x80\2" or n == 700
  local was = tensor.load(at "p.safetensors")
  ok(n < 700 and was[name]:equal(a), "its length is no magic of another format: " .. n)
end
local first = bytes_of "m.safetensors"
tensor.save(at "m.safetensors", {half = many.half, ["w.a"] = many["w.a"], ["w.b"] = many["w.b"]},
  {format = "pt"})
ok(bytes_of "m.safetensors" == first, "the same tensors are the same bytes")
tensor.save(at "l.safetensors", {{"zz", tensor.ones(2)}, {"aa", tensor.ones(2)}})
local text = bytes_of "l.safetensors"
ok(text:find('"zz"', 1, true) < text:find('"aa"', 1, true), "a list keeps its order")
tensor.save(at "none.safetensors", {})
ok(next(tensor.load(at "none.safetensors")) == nil, "none at all")

-- ---- mistakes raise ----

refuses(function() a:save(at "a.txt") end, "unknown ending", ".npy or .safetensors")
refuses(function() tensor.load(at "a.txt") end, "unknown ending to load", ".npy or .safetensors")
refuses(function() tensor.load(at "a.txt") end, "of a file that is not there", "no such file")
io.open(at "words.txt", "w"):close()
refuses(function() tensor.load(at "words.txt") end, "... whose content says no more",
  "nor is it one by its content")
refuses(function() tensor.save(at "m.npy", many) end, "several into .npy", ".safetensors file only")
refuses(function() tensor.save(at "x.safetensors", {a = 3}) end, "a number is no tensor",
  "must be a tensor")
refuses(function() tensor.save(at "x.safetensors", {3}) end, "a list of what is no pair",
  "{name, tensor}")
refuses(function() tensor.save(at "x.safetensors", {a = a}, {n = 3}) end,
  "metadata are strings", "metadata")
refuses(function() tensor.save(at "x.safetensors", {{"a", a}, {"a", a}}) end, "a name twice", "a")
ok(not io.open(at "x.safetensors"), "and nothing was written")

-- ---- the world's failures come back ----

none, why, code = tensor.load(at "absent.npy")
ok(none == nil and code == "NOTFOUND" and why:find "absent.npy", "no such .npy")
none, why, code = tensor.load(at "absent.safetensors")
ok(none == nil and code == "NOTFOUND" and why:find "absent.safetensors", "no such .safetensors")
none, why, code = a:save(at "absent/a.npy")
ok(none == nil and (code == "NOTFOUND" or code == "IO"), "no such folder")
none, why, code = tensor.ones(2, {dtype = "bf16"}):save(at "x.npy")
ok(none == nil and code == "UNSUPPORTED", ".npy has no bf16")
for _, name in ipairs {"a.npy", "m.safetensors"} do
  local whole = bytes_of(name)
  for _, cut in ipairs {0, 7, 40, #whole - 1} do
    local file = io.open(at("cut." .. name), "wb")
    file:write(whole:sub(1, cut))
    file:close()
    none, why, code = tensor.load(at("cut." .. name))
    ok(none == nil and code == "FORMAT", name .. " cut to " .. cut .. " bytes")
  end
end

tap.done()
