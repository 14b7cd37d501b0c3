-- What must happen so that what is there becomes what is wanted.
local function by_name(records)
  local index = {}
  for _, r in ipairs(records) do index[r.name] = r end
  return index
end

local function same(w, h)
  return w.replicas == h.replicas and w.image == h.image
end

local function payload(r)
  return {name = r.name, replicas = r.replicas, image = r.image}
end

function diff(want, have)
  local wanted, there = by_name(want), by_name(have)
  for _, w in ipairs(want) do
    local h = there[w.name]
    if h == nil then
      emit("create", payload(w))
    elseif not same(w, h) then
      emit("update", payload(w))
    end
  end
  for _, h in ipairs(have) do
    if wanted[h.name] == nil then emit("delete", {name = h.name}) end
  end
end
