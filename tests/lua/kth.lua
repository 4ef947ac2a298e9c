-- x:kth(k): the k-th largest, against sort and topk.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is = t.ok, t.is

-- The sort is stable, so descending it has the order that kth goes by.
local function agrees(x, what)
  for dim = 1, #x.shape do
    local values, index = x:sort(dim, true)
    local n, good = x.shape[dim], true
    for _, k in ipairs {1, 2, n // 3 + 1, n // 2 + 1, n - 1, n} do
      if k >= 1 and k <= n then
        local v, i = x:kth(k, dim)
        good = good and v:hash() == values:narrow(dim, k, 1):contiguous():hash()
          and i:hash() == index:narrow(dim, k, 1):contiguous():hash()
      end
    end
    ok(good, ("%s, along %d of %s"):format(what, dim, table.concat(x.shape, " x ")))
  end
end

for _, shape in ipairs {{1, 1}, {2, 3}, {40, 7}, {300, 16}, {1000, 33}, {5, 64, 3}} do
  agrees(tensor.randn(shape, {seed = 1}), "f32")
  agrees(tensor.randn(shape, {seed = 2, dtype = "f64"}), "f64")
  agrees(tensor.randint(-3, 4, shape, {seed = 3}), "ties of i32")
  agrees(tensor.randint(-3, 4, shape, {seed = 4}):cast "f32" * 0.25, "ties of f32")
end
local odd = tensor {0, -0.0, 1, -1, math.huge, -math.huge, 0 / 0, 1e-45, -1e-45, 3.4e38, -3.4e38}
local values = odd:kth(1)
ok(values:item() ~= values:item(), "NaN is the largest")
is((odd:kth(2)):item(), math.huge, "then infinity")
is((odd:kth(11)):item(), -math.huge, "at the end -infinity")
agrees(odd:view(1, 11), "zeros, denormals, infinities, NaN")
agrees(odd:cast("f64"):view(11, 1), "... of f64")

do -- a rank that is computed
  local y = tensor.randn(9, 5, {seed = 8})
  for rank, k in t.sorted {[1] = 1, [4] = 4, [9] = 9, [0] = 1, [12] = 9} do
    local v, i = y:kth {k = 2, dim = 1, rank = tensor({rank}, {dtype = "i32"})}
    local w, j = y:kth(k, 1)
    ok(v:hash() == w:hash() and i:hash() == j:hash(), "rank " .. rank)
  end
  t.raises(function() y:kth {k = 1, rank = tensor({1, 2}, {dtype = "i32"})} end,
    "kth: rank must be (1)")
  t.raises(function() y:kth {k = 1, rank = tensor(1)} end, "kth: ")
end

local off = tensor.gradcheck(function(x) return (x:kth(3, 1)) end,
  {tensor.randn({7, 4}, {seed = 5, dtype = "f64"})})
ok(off < 1e-6, "its gradient", off)
t.raises(function() odd:kth(12) end, "kth: k is 12 along dimension 1 of (11)")
t.raises(function() odd:kth() end, "kth: k is missing")

-- The same bits on any number of threads.
local x = tensor.randn(2000, 70, {seed = 6})
local whole, threads = (x:kth(250, 1)):hash(), tensor.threads()
for _, n in ipairs {1, 2, 3} do
  tensor.threads(n)
  is((x:kth(250, 1)):hash(), whole, "threads " .. n)
end
tensor.threads(threads)

t.done()
