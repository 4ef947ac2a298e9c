-- data.bleu and data.chrf: how near translations come to their references, from 0 to 100, over all
-- texts together.
--
--   bleu   geometric mean of the shares of their 1- to 4-grams that a reference has too, times a
--          penalty for being shorter (Papineni et al. 2002).  Words as mteval-v13a cuts them; a
--          share of 0 is smoothed (1 of 2, 4, ... times as many), as sacreBLEU's "exp" does.
--   chrf   F-score, beta 2, of n-grams of characters without spaces, mean of 1- to 6-grams (Popovic
--          2015, 2016).
--
-- Both give what sacreBLEU gives with its defaults (tests/lua/score.lua).  Counts of n-grams are
-- kept per text: memory goes with the longest one.

local options = require "switchyard.core.options"

local ORDER, CHARACTERS, BETA = 4, 6, 2

-- ---- texts ----

-- Other white space than that of ASCII, as space.
local SPACES = {["\u{85}"] = true, ["\u{a0}"] = true, ["\u{1680}"] = true, ["\u{2028}"] = true,
                ["\u{2029}"] = true, ["\u{202f}"] = true, ["\u{205f}"] = true, ["\u{3000}"] = true}
for c = 0x2000, 0x200a do SPACES[utf8.char(c)] = true end

local function plain_spaces(s)
  if s:find "[\xc2\xe1\xe2\xe3]" then
    s = s:gsub("[\xc2\xe1\xe2\xe3][\x80-\xbf]+", function(c) return SPACES[c] and " " or nil end)
  end
  return (s:gsub("[%c\x1c-\x1f]", function(c) return c:find "[%s\x1c-\x1f]" and " " or nil end))
end

-- Words by the rules of mteval-v13a for European languages.
local function words(s)
  s = s:gsub("<skipped>", ""):gsub("%-\n", ""):gsub("\n", " ")
  s = s:gsub("&quot;", '"'):gsub("&amp;", "&"):gsub("&lt;", "<"):gsub("&gt;", ">")
  s = (" " .. s .. " "):gsub("[{-~%[\\%]^_` -&(-+:-@/]", " %0 ")
  s = s:gsub("([^0-9])([.,])", "%1 %2 "):gsub("([.,])([^0-9])", " %1 %2")
  s = s:gsub("([0-9])(%-)", "%1 %2 ")
  local list = {}
  for word in plain_spaces(s):gmatch "%S+" do list[#list + 1] = word end
  return list
end

-- Characters but for white space; a byte that is no UTF-8 is one, too.
local function characters(s)
  local list = {}
  for c in plain_spaces(s):gsub("%s+", ""):gmatch "[%z\1-\x7f\xc2-\xf4][\x80-\xbf]*" do
    list[#list + 1] = c
  end
  return list
end

-- {n-gram = how often}, and how many there are.
local function ngrams(list, n)
  local count = {}
  for i = 1, #list - n + 1 do
    local key = table.concat(list, "\0", i, i + n - 1)
    count[key] = (count[key] or 0) + 1
  end
  return count, math.max(#list - n + 1, 0)
end

-- ---- arguments ----

local function fail(what, ...) error(what .. ": " .. string.format(...), 0) end

-- f(text, {reference, ...}) for each.
local function each_pair(what, texts, references, f)
  if type(texts) == "string" and type(references) == "string" then
    texts, references = {texts}, {references}
  end
  if type(texts) ~= "table" or type(references) ~= "table" then
    fail(what, "takes two lists of texts: they are a %s and a %s", type(texts),
      type(references))
  end
  if #texts ~= #references or #texts == 0 then
    fail(what, "%d texts and %d references: as many are wanted, and at least one", #texts,
      #references)
  end
  for i, text in ipairs(texts) do
    local list = references[i]
    if type(list) == "string" then list = {list} end
    if type(text) ~= "string" or type(list) ~= "table" or #list == 0 then
      fail(what, "text %d and its reference must be texts: they are a %s and a %s", i,
        type(text), type(references[i]))
    end
    for k, r in ipairs(list) do
      if type(r) ~= "string" then
        fail(what, "reference %d of text %d must be a text: it is a %s", k, i, type(r))
      end
    end
    f(text, list)
  end
end

-- ---- BLEU ----

-- The most that any reference has of each n-gram.
local function most(references, n)
  local out = {}
  for _, r in ipairs(references) do
    for key, count in pairs((ngrams(r, n))) do out[key] = math.max(out[key] or 0, count) end
  end
  return out
end

local function closest(references, length)
  local best
  for _, r in ipairs(references) do
    local nearer = best and math.abs(#r - length) - math.abs(best - length)
    if not best or nearer < 0 or nearer == 0 and #r < best then best = #r end
  end
  return best
end

local function add_bleu(sum, text, references)
  local mine, theirs = words(text), {}
  for i, r in ipairs(references) do theirs[i] = words(r) end
  sum.length = sum.length + #mine
  sum.reference_length = sum.reference_length + closest(theirs, #mine)
  for n = 1, ORDER do
    local count, total = ngrams(mine, n)
    local known = most(theirs, n)
    sum.total[n] = sum.total[n] + total
    for key, k in pairs(count) do
      sum.right[n] = sum.right[n] + math.min(k, known[key] or 0)
    end
  end
end

local function bleu_of(sum)
  local logs, smooth, any = 0, 1, false
  for n = 1, ORDER do any = any or sum.right[n] > 0 end
  for n = 1, ORDER do
    local right, total = sum.right[n], sum.total[n]
    if right == 0 then smooth = smooth * 2 end
    sum.precisions[n] = not any and 0 or total == 0 and 0 or
      100 * (right > 0 and right or 1 / smooth) / total
    logs = logs + (sum.precisions[n] > 0 and math.log(sum.precisions[n]) or -math.huge)
  end
  local short = sum.length < sum.reference_length
  sum.brevity = not short and 1 or sum.length > 0 and
    math.exp(1 - sum.reference_length / sum.length) or 0
  return sum.brevity * math.exp(logs / ORDER)
end

local function bleu(texts, references)
  local sum = {length = 0, reference_length = 0, total = {0, 0, 0, 0}, right = {0, 0, 0, 0},
               precisions = {}}
  each_pair("bleu", texts, references, function(text, list) add_bleu(sum, text, list) end)
  local value = bleu_of(sum)
  return value, {precisions = sum.precisions, brevity = sum.brevity, length = sum.length,
                 reference_length = sum.reference_length}
end

-- ---- chrF ----

-- {of the text, of the reference, in both} for each n.
local function compare_characters(mine, theirs)
  local out = {}
  for n = 1, CHARACTERS do
    local count, total = ngrams(mine, n)
    local known, wanted = ngrams(theirs, n)
    local both = 0
    for key, k in pairs(count) do both = both + math.min(k, known[key] or 0) end
    out[n] = {wanted > 0 and total or 0, wanted, both}
  end
  return out
end

local function chrf_of(sums)
  local precision, recall, orders = 0, 0, 0
  for _, s in ipairs(sums) do
    if s[1] > 0 and s[2] > 0 then
      precision, recall, orders = precision + s[3] / s[1], recall + s[3] / s[2], orders + 1
    end
  end
  if precision + recall == 0 then return 0, 0, 0 end
  precision, recall = precision / orders, recall / orders
  local beta = BETA * BETA
  return 100 * (1 + beta) * precision * recall / (beta * precision + recall), precision, recall
end

local function add_chrf(sums, text, references)
  local mine, best, most_of = characters(text), nil, -1
  for _, r in ipairs(references) do
    local one = compare_characters(mine, characters(r))
    local value = chrf_of(one)
    if value > most_of then best, most_of = one, value end
  end
  for n, s in ipairs(best) do
    for i = 1, 3 do sums[n][i] = sums[n][i] + s[i] end
  end
end

local function chrf(texts, references)
  local sums = {}
  for n = 1, CHARACTERS do sums[n] = {0, 0, 0} end
  each_pair("chrf", texts, references, function(text, list) add_chrf(sums, text, list) end)
  local value, precision, recall = chrf_of(sums)
  return value, {precision = precision, recall = recall}
end

-- What f raises has the place of the user's line.
local function called(ok, value, of)
  if not ok then options.raise(value, 3) end
  return value, of
end

local score = {}

--- data.bleu(texts, references) -> number, {precisions=, brevity=, length=, reference_length=}
function score.bleu(...)
  local value, of = called(pcall(bleu, ...))
  return value, of
end

--- data.chrf(texts, references) -> number, {precision=, recall=}
function score.chrf(...)
  local value, of = called(pcall(chrf, ...))
  return value, of
end

return score
