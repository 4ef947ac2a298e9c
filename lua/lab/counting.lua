-- Counts of what goes with what, and what one says of the other.
--
--   I(X; Y) = sum over x, y of p(x,y) ln (p(x,y) / (p(x) p(y)))     H(X) = -sum over x of p ln p
--   I(X; Y | Z) = sum over z of p(z) I(X; Y | Z = z)                 H(X | Z) likewise
--
-- in nats and in double, of counts as they are (the plug-in estimate): of few counts it is too
-- large, which is why what it gives for shuffled labels is taken off.  Source: Cover and Thomas
-- 2006, chapter 2; the correction: Vinh, Epps and Bailey 2010.

local counting = {}

local log = math.log

--- I, H of the rows, H of the columns, and the sum, of n[(r-1)*C + c], R rows of C columns.
function counting.information(n, R, C)
  local rows, columns, sum = {}, {}, 0
  for c = 1, C do columns[c] = 0 end
  for r = 1, R do
    rows[r] = 0
    for c = 1, C do
      local v = n[(r - 1) * C + c]
      rows[r], columns[c], sum = rows[r] + v, columns[c] + v, sum + v
    end
  end
  if sum == 0 then return 0, 0, 0, 0 end
  local I = 0
  for r = 1, R do
    for c = 1, C do
      local v = n[(r - 1) * C + c]
      if v > 0 then I = I + v * log(v * sum / (rows[r] * columns[c])) end
    end
  end
  return I / sum, counting.entropy(rows), counting.entropy(columns), sum
end

--- H of counts.
function counting.entropy(n)
  local sum, h = 0, 0
  for i = 1, #n do sum = sum + n[i] end
  for i = 1, #n do
    if n[i] > 0 then h = h - n[i] / sum * log(n[i] / sum) end
  end
  return h
end

--- 0 in n places.
function counting.zeros(n)
  local list = {}
  for i = 1, n do list[i] = 0 end
  return list
end

--- A permutation of 1..n: Fisher-Yates by Philox draws of the seed.
function counting.permutation(n, seed)
  local list, u = {}, n > 0 and tensor.rand(n, {seed = seed}):table() or {}
  for i = 1, n do list[i] = i end
  for i = n, 2, -1 do
    local j = math.floor(u[i] * i) + 1
    list[i], list[j] = list[j], list[i]
  end
  return list
end

--- Places 1..#keys by their key, ascending: the places in that order, and where each key's begin;
-- one more end behind the last.
function counting.groups(keys)
  local order, firsts = {}, {}
  for i = 1, #keys do order[i] = i end
  table.sort(order, function(a, b)
    if keys[a] ~= keys[b] then return keys[a] < keys[b] end
    return a < b
  end)
  for i = 1, #order do
    if i == 1 or keys[order[i]] ~= keys[order[i - 1]] then firsts[#firsts + 1] = i end
  end
  firsts[#firsts + 1] = #order + 1
  return order, firsts
end

--- values in another order within each group alone.
function counting.shuffle_within(values, order, firsts, seed)
  local out, u = {}, #order > 0 and tensor.rand(#order, {seed = seed}):table() or {}
  for i = 1, #values do out[i] = values[i] end
  for g = 1, #firsts - 1 do
    local first = firsts[g]
    for i = firsts[g + 1] - 1, first + 1, -1 do
      local a, b = order[i], order[first + math.floor(u[i] * (i - first + 1))]
      out[a], out[b] = out[b], out[a]
    end
  end
  return out
end

--- Mean and deviation (of n - 1) of a list.
function counting.moments(list)
  local sum, squares = 0, 0
  for _, v in ipairs(list) do sum = sum + v end
  local mean = sum / #list
  for _, v in ipairs(list) do squares = squares + (v - mean) ^ 2 end
  return mean, #list > 1 and math.sqrt(squares / (#list - 1)) or 0
end

return counting
