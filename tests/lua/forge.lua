-- Checkpoints whose MANIFEST holds although a file was changed:
--     local forge = dofile(os.getenv "srcdir" .. "/tests/lua/forge.lua")
--     forge(path, "state.json", function(text) return text end)

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local read, write = t.read, t.write

-- XXH64 of the published specification, seed 0.
local function xxh64(s)
  local P1, P2, P3, P4, P5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
    0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
  local function rotate(x, n) return x << n | x >> 64 - n end
  local function round(acc, x) return rotate(acc + x * P2, 31) * P1 end
  local at, h = 1, P5
  if #s >= 32 then
    local a, b, c, e = P1 + P2, P2, 0, -P1
    while at + 31 <= #s do
      local w, x, y, z = ("<i8i8i8i8"):unpack(s, at)
      a, b, c, e, at = round(a, w), round(b, x), round(c, y), round(e, z), at + 32
    end
    h = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(e, 18)
    for _, v in ipairs {a, b, c, e} do h = (h ~ round(0, v)) * P1 + P4 end
  end
  h = h + #s
  while at + 7 <= #s do
    h, at = rotate(h ~ round(0, (("<i8"):unpack(s, at))), 27) * P1 + P4, at + 8
  end
  if at + 3 <= #s then h, at = rotate(h ~ ("<I4"):unpack(s, at) * P1, 23) * P2 + P3, at + 4 end
  while at <= #s do h, at = rotate(h ~ s:byte(at) * P5, 11) * P1, at + 1 end
  h = (h ~ h >> 33) * P2
  h = (h ~ h >> 29) * P3
  return h ~ h >> 32
end

-- Change a file of a checkpoint, and MANIFEST so that it holds.
return function(path, name, change)
  local text = change(read(path .. "/" .. name))
  os.remove(path .. "/" .. name) -- it may be shared
  write(path .. "/" .. name, text)
  local manifest = read(path .. "/MANIFEST"):match '^(.*),"sum":"%x+"}\n$'
  manifest = manifest:gsub('("' .. name:gsub("%p", "%%%0") .. '"):{"bytes":%d+,"hash":"%x+"}',
    ('%%1:{"bytes":%d,"hash":"%016x"}'):format(#text, xxh64(text)))
  os.remove(path .. "/MANIFEST")
  write(path .. "/MANIFEST", ('%s,"sum":"%016x"}\n'):format(manifest, xxh64(manifest)))
end
