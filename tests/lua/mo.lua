-- A message catalogue as bytes, for tests: messages {{message, translation}, ...}; options: big
-- (the byte order of other machines), charset, revision.
local function mo(messages, options)
  local o = options or {}
  local list = {{"", ("Content-Type: text/plain; charset=%s\n"):format(o.charset or "UTF-8")}}
  for _, m in ipairs(messages) do list[#list + 1] = m end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  local e, n = o.big and ">" or "<", #list
  local at, tables, strings = 28 + 16 * n, {}, {}
  for side = 1, 2 do
    for _, m in ipairs(list) do
      tables[#tables + 1] = (e .. "I4I4"):pack(#m[side], at)
      strings[#strings + 1] = m[side] .. "\0"
      at = at + #m[side] + 1
    end
  end
  return (e .. "I4I4I4I4I4I4I4"):pack(0x950412de, o.revision or 0, n, 28, 28 + 8 * n, 0,
      28 + 16 * n) .. table.concat(tables) .. table.concat(strings)
end
return mo
