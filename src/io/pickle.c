// SPDX-License-Identifier: Apache-2.0
// See pickle.h. One function an opcode, in a table; a value is an id into a dense array, the stack holds ids. Opcodes
// are Python's (pickletools), protocols 2 to 5.
#include "io/pickle.h"

#include "io/tensors.h"

enum { MEMORY_ALLOWANCE = 64 << 20 };
enum { MARK = UINT32_MAX, TENSOR_ARGUMENTS_MIN = 5, ITEMS_BYTES = 128 };  // of a container that has items, at least

typedef struct pickle_vm_s {
  leat_pickle_t *pickle;
  const uint8_t *at, *end, *start;
  LEAT_ARRAY(uint32_t) stack;  // value ids, MARK for marks
  LEAT_ARRAY(uint32_t) memo;   // value id + 1 by memo index; 0: unset
  size_t held;                 // bytes behind the values: items, tensors
  bool stopped;
} pickle_vm_t;

typedef leat_status_t (*pickle_opcode_fn)(pickle_vm_t *vm);

// The only names that may appear, and what calling them with REDUCE yields.
enum pickle_callable { CALL_ORDERED_DICT, CALL_TENSOR, CALL_PARAMETER, CALL_NONE };
static const struct {
  const char *module, *name;
  uint8_t callable;  // enum pickle_callable
  uint8_t dtype;     // of a storage class
} globals[] = {
    {"collections", "OrderedDict", CALL_ORDERED_DICT, 0},      {"torch._utils", "_rebuild_tensor_v2", CALL_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", CALL_PARAMETER, 0}, {"torch", "FloatStorage", CALL_NONE, LEAT_DTYPE_F32},
    {"torch", "DoubleStorage", CALL_NONE, LEAT_DTYPE_F64},     {"torch", "BFloat16Storage", CALL_NONE, LEAT_DTYPE_BF16},
    {"torch", "HalfStorage", CALL_NONE, LEAT_DTYPE_F16},       {"torch", "CharStorage", CALL_NONE, LEAT_DTYPE_I8},
    {"torch", "ByteStorage", CALL_NONE, LEAT_DTYPE_U8},        {"torch", "ShortStorage", CALL_NONE, LEAT_DTYPE_I16},
    {"torch", "IntStorage", CALL_NONE, LEAT_DTYPE_I32},        {"torch", "LongStorage", CALL_NONE, LEAT_DTYPE_I64},
    {"torch", "BoolStorage", CALL_NONE, LEAT_DTYPE_BOOL},
};
enum { GLOBAL_COUNT = sizeof globals / sizeof *globals };

const char *leat_pickle_kind_name(uint32_t kind) {
  static const char *const names[LEAT_PICKLE_KIND_COUNT] = {"None",     "a bool",    "an int",  "a float",
                                                            "a string", "a tuple",   "a list",  "a dictionary",
                                                            "a class",  "a storage", "a tensor"};
  return kind < LEAT_PICKLE_KIND_COUNT ? names[kind] : "?";
}

// --- reading, stack, memo ----------------------------------------------------------------------------------------

static leat_status_t damaged(const pickle_vm_t *vm, const char *what) {
  return leat_status_make(LEAT_CORRUPT, "pickle, byte %zu: %s; the file is damaged or not a state dictionary",
                          (size_t)(vm->at - vm->start), what);
}

static leat_status_t take(pickle_vm_t *vm, uint64_t count, const uint8_t **out_bytes) {
  if (count > (uint64_t)(vm->end - vm->at)) return damaged(vm, "it is cut off");
  *out_bytes = vm->at;
  vm->at += count;
  return NULL;
}

static leat_status_t take_unsigned(pickle_vm_t *vm, uint32_t width, uint64_t *out_value) {
  const uint8_t *bytes = NULL;
  LEAT_TRY(take(vm, width, &bytes));
  *out_value = 0;
  for (uint32_t i = 0; i < width; ++i) *out_value |= (uint64_t)bytes[i] << (8 * i);
  return NULL;
}

static leat_status_t push(pickle_vm_t *vm, uint32_t id) {
  uint32_t *slot = leat_array_push(&vm->stack);
  if (slot == NULL) return leat_out_of_memory();
  *slot = id;
  return NULL;
}

static leat_status_t push_value(pickle_vm_t *vm, const leat_pickle_value_t *value) {
  const uint32_t id = vm->pickle->values.count;
  leat_pickle_value_t *slot = leat_array_push(&vm->pickle->values);
  if (slot == NULL || id == MARK - 1) return leat_out_of_memory();
  *slot = *value;
  return push(vm, id);
}

static leat_status_t pop(pickle_vm_t *vm, uint32_t *out_id) {
  if (vm->stack.count == 0 || vm->stack.data[vm->stack.count - 1] == MARK) return damaged(vm, "the stack is empty");
  *out_id = vm->stack.data[--vm->stack.count];
  return NULL;
}

static leat_pickle_value_t *value_of(const pickle_vm_t *vm, uint32_t id) { return &vm->pickle->values.data[id]; }

// The value on top, which must be of `kind`.
static leat_status_t top(const pickle_vm_t *vm, uint32_t kind, leat_pickle_value_t **out_value) {
  const uint32_t id = vm->stack.count == 0 ? MARK : vm->stack.data[vm->stack.count - 1];
  if (id == MARK || value_of(vm, id)->kind != kind) return damaged(vm, "a value of another kind is expected");
  *out_value = value_of(vm, id);
  return NULL;
}

static leat_status_t pop_kind(pickle_vm_t *vm, uint32_t kind, leat_pickle_value_t **out_value) {
  LEAT_TRY(top(vm, kind, out_value));
  --vm->stack.count;
  return NULL;
}

// Index, on the stack, of the first value after the topmost mark.
static leat_status_t find_mark(const pickle_vm_t *vm, uint32_t *out_first) {
  for (uint32_t i = vm->stack.count; i > 0; --i) {
    if (vm->stack.data[i - 1] != MARK) continue;
    *out_first = i;
    return NULL;
  }
  return damaged(vm, "a mark is missing");
}

// Moves the stack from index `first` on to the end of container `id`.
static leat_status_t move_items(pickle_vm_t *vm, uint32_t first, uint32_t id) {
  const uint32_t count = vm->stack.count - first;
  if (count != 0) {
    uint32_t *slots = leat_array_push_n(&value_of(vm, id)->items, count);
    if (slots == NULL) return leat_out_of_memory();
    memcpy(slots, vm->stack.data + first, count * sizeof *slots);
    vm->held += ITEMS_BYTES + 2u * count * sizeof *slots;
  }
  vm->stack.count = first;
  return NULL;
}

static leat_status_t memo_put(pickle_vm_t *vm, uint64_t index) {
  if (vm->stack.count == 0 || vm->stack.data[vm->stack.count - 1] == MARK) return damaged(vm, "nothing to remember");
  if (index >= (uint64_t)(vm->end - vm->start)) return damaged(vm, "a memo index is too large");
  if (index >= vm->memo.count) {
    const uint32_t more = (uint32_t)index + 1 - vm->memo.count;
    if (leat_array_push_n(&vm->memo, more) == NULL) return leat_out_of_memory();
  }
  vm->memo.data[index] = vm->stack.data[vm->stack.count - 1] + 1;
  return NULL;
}

static leat_status_t memo_get(pickle_vm_t *vm, uint64_t index) {
  if (index >= vm->memo.count || vm->memo.data[index] == 0) return damaged(vm, "an unknown memo index");
  return push(vm, vm->memo.data[index] - 1);
}

// --- opcodes: constants ------------------------------------------------------------------------------------------

static leat_status_t op_none(pickle_vm_t *vm) {
  return push_value(vm, &(leat_pickle_value_t){.kind = LEAT_PICKLE_NONE});
}

static leat_status_t push_bool(pickle_vm_t *vm, bool value) {
  return push_value(vm, &(leat_pickle_value_t){.kind = LEAT_PICKLE_BOOL, .integer = value});
}
static leat_status_t op_true(pickle_vm_t *vm) { return push_bool(vm, true); }
static leat_status_t op_false(pickle_vm_t *vm) { return push_bool(vm, false); }

static leat_status_t push_int(pickle_vm_t *vm, int64_t value) {
  return push_value(vm, &(leat_pickle_value_t){.kind = LEAT_PICKLE_INT, .integer = value});
}
static leat_status_t op_int1(pickle_vm_t *vm) {
  uint64_t value = 0;
  LEAT_TRY(take_unsigned(vm, 1, &value));
  return push_int(vm, (int64_t)value);
}
static leat_status_t op_int2(pickle_vm_t *vm) {
  uint64_t value = 0;
  LEAT_TRY(take_unsigned(vm, 2, &value));
  return push_int(vm, (int64_t)value);
}
static leat_status_t op_int4(pickle_vm_t *vm) {
  uint64_t value = 0;
  LEAT_TRY(take_unsigned(vm, 4, &value));
  return push_int(vm, (int32_t)value);
}
// Two's complement of n bytes; more than 64 bits become a float, as they only appear as seeds and the like.
static leat_status_t op_long1(pickle_vm_t *vm) {
  uint64_t count = 0;
  const uint8_t *bytes = NULL;
  LEAT_TRY(take_unsigned(vm, 1, &count));
  LEAT_TRY(take(vm, count, &bytes));
  const bool negative = count != 0 && bytes[count - 1] >= 0x80;
  if (count > 8) {
    double value = negative ? -1 : 0;
    for (uint64_t i = count; i > 0; --i) value = value * 256 + bytes[i - 1] + (negative ? 255 : 0);
    return push_value(vm, &(leat_pickle_value_t){.kind = LEAT_PICKLE_FLOAT, .number = value});
  }
  uint64_t value = negative ? UINT64_MAX : 0;
  for (uint64_t i = count; i > 0; --i) value = value << 8 | bytes[i - 1];
  return push_int(vm, (int64_t)value);
}
static leat_status_t op_float(pickle_vm_t *vm) {
  const uint8_t *bytes = NULL;
  LEAT_TRY(take(vm, 8, &bytes));
  uint64_t bits = 0;
  for (uint32_t i = 0; i < 8; ++i) bits = bits << 8 | bytes[i];
  leat_pickle_value_t value = {.kind = LEAT_PICKLE_FLOAT};
  memcpy(&value.number, &bits, sizeof bits);
  return push_value(vm, &value);
}

static leat_status_t push_text(pickle_vm_t *vm, uint32_t width) {
  uint64_t length = 0;
  const uint8_t *bytes = NULL;
  LEAT_TRY(take_unsigned(vm, width, &length));
  LEAT_TRY(take(vm, length, &bytes));
  return push_value(vm, &(leat_pickle_value_t){.kind = LEAT_PICKLE_STRING, .text = {(const char *)bytes, length}});
}
static leat_status_t op_text1(pickle_vm_t *vm) { return push_text(vm, 1); }
static leat_status_t op_text4(pickle_vm_t *vm) { return push_text(vm, 4); }
static leat_status_t op_text8(pickle_vm_t *vm) { return push_text(vm, 8); }

// --- opcodes: containers -----------------------------------------------------------------------------------------

static leat_status_t op_mark(pickle_vm_t *vm) { return push(vm, MARK); }

static leat_status_t op_empty_tuple(pickle_vm_t *vm) {
  return push_value(vm, &(leat_pickle_value_t){.kind = LEAT_PICKLE_TUPLE});
}
static leat_status_t op_empty_list(pickle_vm_t *vm) {
  return push_value(vm, &(leat_pickle_value_t){.kind = LEAT_PICKLE_LIST});
}
static leat_status_t op_empty_dict(pickle_vm_t *vm) {
  return push_value(vm, &(leat_pickle_value_t){.kind = LEAT_PICKLE_DICT});
}

// A tuple of the stack from index `first` on; `drop` entries below it (a mark) go as well.
static leat_status_t make_tuple(pickle_vm_t *vm, uint32_t first, uint32_t drop) {
  const uint32_t id = vm->pickle->values.count;
  leat_pickle_value_t *tuple = leat_array_push(&vm->pickle->values);
  if (tuple == NULL) return leat_out_of_memory();
  tuple->kind = LEAT_PICKLE_TUPLE;
  LEAT_TRY(move_items(vm, first, id));
  vm->stack.count -= drop;
  return push(vm, id);
}
static leat_status_t tuple_of(pickle_vm_t *vm, uint32_t count) {
  for (uint32_t i = 1; i <= count; ++i) {
    if (i > vm->stack.count || vm->stack.data[vm->stack.count - i] == MARK) return damaged(vm, "the stack is empty");
  }
  return make_tuple(vm, vm->stack.count - count, 0);
}
static leat_status_t op_tuple1(pickle_vm_t *vm) { return tuple_of(vm, 1); }
static leat_status_t op_tuple2(pickle_vm_t *vm) { return tuple_of(vm, 2); }
static leat_status_t op_tuple3(pickle_vm_t *vm) { return tuple_of(vm, 3); }
static leat_status_t op_tuple(pickle_vm_t *vm) {
  uint32_t first = 0;
  LEAT_TRY(find_mark(vm, &first));
  return make_tuple(vm, first, 1);
}

// Container of `kind` right below stack index `first`.
static leat_status_t container_below(const pickle_vm_t *vm, uint32_t first, uint32_t kind, uint32_t *out_id) {
  const uint32_t id = first == 0 ? MARK : vm->stack.data[first - 1];
  if (id == MARK || value_of(vm, id)->kind != kind) return damaged(vm, "items for what is not their container");
  *out_id = id;
  return NULL;
}

static leat_status_t append_marked(pickle_vm_t *vm, uint32_t kind) {
  uint32_t first = 0, id = 0;
  LEAT_TRY(find_mark(vm, &first));
  LEAT_TRY(container_below(vm, first - 1, kind, &id));
  if (kind == LEAT_PICKLE_DICT && (vm->stack.count - first) % 2 != 0) return damaged(vm, "a key without a value");
  LEAT_TRY(move_items(vm, first, id));
  --vm->stack.count;  // the mark
  return NULL;
}
static leat_status_t op_appends(pickle_vm_t *vm) { return append_marked(vm, LEAT_PICKLE_LIST); }
static leat_status_t op_setitems(pickle_vm_t *vm) { return append_marked(vm, LEAT_PICKLE_DICT); }

static leat_status_t append_some(pickle_vm_t *vm, uint32_t kind, uint32_t count) {
  uint32_t id = 0;
  for (uint32_t i = 1; i <= count; ++i) {
    if (i > vm->stack.count || vm->stack.data[vm->stack.count - i] == MARK) return damaged(vm, "the stack is empty");
  }
  LEAT_TRY(container_below(vm, vm->stack.count - count, kind, &id));
  return move_items(vm, vm->stack.count - count, id);
}
static leat_status_t op_append(pickle_vm_t *vm) { return append_some(vm, LEAT_PICKLE_LIST, 1); }
static leat_status_t op_setitem(pickle_vm_t *vm) { return append_some(vm, LEAT_PICKLE_DICT, 2); }

// --- opcodes: names, storages, tensors ---------------------------------------------------------------------------

static bool text_is(const char *text, size_t length, const char *expected) {
  return strlen(expected) == length && memcmp(text, expected, length) == 0;
}

static leat_status_t push_global(pickle_vm_t *vm, const char *module, size_t module_length, const char *name,
                                 size_t name_length) {
  for (uint16_t i = 0; i < GLOBAL_COUNT; ++i) {
    if (!text_is(module, module_length, globals[i].module) || !text_is(name, name_length, globals[i].name)) continue;
    return push_value(vm, &(leat_pickle_value_t){.kind = LEAT_PICKLE_GLOBAL, .global = i});
  }
  LEAT_FAIL(LEAT_UNSUPPORTED,
            "the pickle asks for '%s.%s', which has no place in a state dictionary: refused, nothing was executed. "
            "Save the state_dict() of the model (tensors, numbers, strings, lists, dictionaries) instead",
            leat_io_shown(module, module_length).text, leat_io_shown(name, name_length).text);
}

static leat_status_t take_line(pickle_vm_t *vm, const char **out_text, size_t *out_length) {
  const uint8_t *newline = memchr(vm->at, '\n', (size_t)(vm->end - vm->at));
  if (newline == NULL) return damaged(vm, "a name is cut off");
  *out_text = (const char *)vm->at;
  *out_length = (size_t)(newline - vm->at);
  vm->at = newline + 1;
  return NULL;
}

static leat_status_t op_global(pickle_vm_t *vm) {
  const char *module = NULL, *name = NULL;
  size_t module_length = 0, name_length = 0;
  LEAT_TRY(take_line(vm, &module, &module_length));
  LEAT_TRY(take_line(vm, &name, &name_length));
  return push_global(vm, module, module_length, name, name_length);
}
static leat_status_t op_stack_global(pickle_vm_t *vm) {
  leat_pickle_value_t *module = NULL, *name = NULL;
  LEAT_TRY(pop_kind(vm, LEAT_PICKLE_STRING, &name));
  LEAT_TRY(pop_kind(vm, LEAT_PICKLE_STRING, &module));
  return push_global(vm, module->text.data, module->text.length, name->text.data, name->text.length);
}

// Item `index` of a tuple if it is of `kind`, else NULL.
static const leat_pickle_value_t *item(const pickle_vm_t *vm, const leat_pickle_value_t *tuple, uint32_t index,
                                       uint32_t kind) {
  if (index >= tuple->items.count) return NULL;
  const leat_pickle_value_t *value = value_of(vm, tuple->items.data[index]);
  return value->kind == kind ? value : NULL;
}

// ("storage", class, key, location, element count[, view]) -> STORAGE; torch before 1.6 writes None as view
static leat_status_t op_persistent_id(pickle_vm_t *vm) {
  leat_pickle_value_t *tuple = NULL;
  LEAT_TRY(pop_kind(vm, LEAT_PICKLE_TUPLE, &tuple));
  const leat_pickle_value_t *tag = item(vm, tuple, 0, LEAT_PICKLE_STRING);
  const leat_pickle_value_t *class_ = item(vm, tuple, 1, LEAT_PICKLE_GLOBAL);
  const leat_pickle_value_t *key = item(vm, tuple, 2, LEAT_PICKLE_STRING);
  if (tag == NULL || !text_is(tag->text.data, tag->text.length, "storage") || class_ == NULL || key == NULL ||
      globals[class_->global].callable != CALL_NONE) {
    return damaged(vm, "a persistent id that is not a storage");
  }
  if (item(vm, tuple, 5, LEAT_PICKLE_TUPLE) != NULL) {
    LEAT_FAIL(LEAT_UNSUPPORTED,
              "a storage is a view of another one (torch before 0.4); load it there and save it again");
  }
  return push_value(vm, &(leat_pickle_value_t){.kind = LEAT_PICKLE_STORAGE,
                                               .dtype = globals[class_->global].dtype,
                                               .text = {key->text.data, key->text.length}});
}

static leat_status_t copy_integers(const pickle_vm_t *vm, const leat_pickle_value_t *tuple, uint32_t rank,
                                   int64_t out_values[LEAT_MAX_RANK]) {
  if (tuple == NULL || tuple->items.count != rank) return damaged(vm, "a tensor's sizes and strides do not fit");
  for (uint32_t i = 0; i < rank; ++i) {
    const leat_pickle_value_t *value = item(vm, tuple, i, LEAT_PICKLE_INT);
    if (value == NULL) return damaged(vm, "a tensor's sizes and strides are not integers");
    out_values[i] = value->integer;
  }
  return NULL;
}

// _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, ...)
static leat_status_t call_tensor(pickle_vm_t *vm, const leat_pickle_value_t *arguments) {
  const leat_pickle_value_t *storage = item(vm, arguments, 0, LEAT_PICKLE_STORAGE);
  const leat_pickle_value_t *offset = item(vm, arguments, 1, LEAT_PICKLE_INT);
  const leat_pickle_value_t *size = item(vm, arguments, 2, LEAT_PICKLE_TUPLE);
  if (storage == NULL || offset == NULL || size == NULL || arguments->items.count < TENSOR_ARGUMENTS_MIN) {
    return damaged(vm, "a tensor with wrong arguments");
  }
  if (size->items.count > LEAT_MAX_RANK) {
    LEAT_FAIL(LEAT_UNSUPPORTED, "a tensor has %u dimensions, at most %d are read", size->items.count, LEAT_MAX_RANK);
  }
  leat_pickle_tensor_t *tensor = leat_arena_alloc(&vm->pickle->arena, sizeof *tensor);
  vm->held += sizeof *tensor;
  if (tensor == NULL) return leat_out_of_memory();
  tensor->storage = arguments->items.data[0];
  tensor->offset = offset->integer;
  tensor->rank = size->items.count;
  LEAT_TRY(copy_integers(vm, size, tensor->rank, tensor->dims));
  LEAT_TRY(copy_integers(vm, item(vm, arguments, 3, LEAT_PICKLE_TUPLE), tensor->rank, tensor->strides));
  return push_value(vm, &(leat_pickle_value_t){.kind = LEAT_PICKLE_TENSOR, .tensor = tensor});
}

static leat_status_t op_reduce(pickle_vm_t *vm) {
  leat_pickle_value_t *arguments = NULL, *callee = NULL;
  LEAT_TRY(pop_kind(vm, LEAT_PICKLE_TUPLE, &arguments));
  LEAT_TRY(pop_kind(vm, LEAT_PICKLE_GLOBAL, &callee));
  switch ((enum pickle_callable)globals[callee->global].callable) {
    case CALL_ORDERED_DICT:
      if (arguments->items.count != 0) return damaged(vm, "an OrderedDict made from values");
      return op_empty_dict(vm);
    case CALL_TENSOR:
      return call_tensor(vm, arguments);
    case CALL_PARAMETER:
      if (item(vm, arguments, 0, LEAT_PICKLE_TENSOR) == NULL) return damaged(vm, "a parameter without a tensor");
      return push(vm, arguments->items.data[0]);
    case CALL_NONE:
      break;
  }
  return damaged(vm, "a storage class is called");
}

// Attributes of a dictionary (a state_dict carries _metadata): read, not kept.
static leat_status_t op_build(pickle_vm_t *vm) {
  leat_pickle_value_t *attributes = NULL, *target = NULL;
  LEAT_TRY(pop_kind(vm, LEAT_PICKLE_DICT, &attributes));
  return top(vm, LEAT_PICKLE_DICT, &target);
}

// --- opcodes: control --------------------------------------------------------------------------------------------

static leat_status_t op_proto(pickle_vm_t *vm) {
  uint64_t version = 0;
  LEAT_TRY(take_unsigned(vm, 1, &version));
  return version >= 2 && version <= 5 ? NULL : damaged(vm, "an unknown protocol");
}
static leat_status_t op_frame(pickle_vm_t *vm) {
  uint64_t length = 0;
  return take_unsigned(vm, 8, &length);
}
static leat_status_t op_stop(pickle_vm_t *vm) {
  LEAT_TRY(pop(vm, &vm->pickle->root));
  vm->stopped = true;
  return vm->stack.count == 0 ? NULL : damaged(vm, "it ends with values left over");
}
static leat_status_t put_indexed(pickle_vm_t *vm, uint32_t width) {
  uint64_t index = 0;
  LEAT_TRY(take_unsigned(vm, width, &index));
  return memo_put(vm, index);
}
static leat_status_t get_indexed(pickle_vm_t *vm, uint32_t width) {
  uint64_t index = 0;
  LEAT_TRY(take_unsigned(vm, width, &index));
  return memo_get(vm, index);
}
static leat_status_t op_put1(pickle_vm_t *vm) { return put_indexed(vm, 1); }
static leat_status_t op_put4(pickle_vm_t *vm) { return put_indexed(vm, 4); }
static leat_status_t op_get1(pickle_vm_t *vm) { return get_indexed(vm, 1); }
static leat_status_t op_get4(pickle_vm_t *vm) { return get_indexed(vm, 4); }
static leat_status_t op_memoize(pickle_vm_t *vm) { return memo_put(vm, vm->memo.count); }

static const pickle_opcode_fn opcodes[256] = {
    [0x80] = op_proto,        [0x95] = op_frame,     ['.'] = op_stop,    ['('] = op_mark,
    ['N'] = op_none,          [0x88] = op_true,      [0x89] = op_false,  ['K'] = op_int1,
    ['M'] = op_int2,          ['J'] = op_int4,       [0x8a] = op_long1,  ['G'] = op_float,
    [0x8c] = op_text1,        ['X'] = op_text4,      [0x8d] = op_text8,  [')'] = op_empty_tuple,
    [']'] = op_empty_list,    ['}'] = op_empty_dict, [0x85] = op_tuple1, [0x86] = op_tuple2,
    [0x87] = op_tuple3,       ['t'] = op_tuple,      ['a'] = op_append,  ['e'] = op_appends,
    ['s'] = op_setitem,       ['u'] = op_setitems,   ['c'] = op_global,  [0x93] = op_stack_global,
    ['Q'] = op_persistent_id, ['R'] = op_reduce,     ['b'] = op_build,   ['q'] = op_put1,
    ['r'] = op_put4,          ['h'] = op_get1,       ['j'] = op_get4,    [0x94] = op_memoize,
};

// Arrays grow to twice what they hold.
static size_t memory_of(const pickle_vm_t *vm) {
  return 2 * (vm->pickle->values.count * sizeof *vm->pickle->values.data + vm->stack.count * sizeof(uint32_t) +
              vm->memo.count * sizeof(uint32_t)) +
         vm->held;
}

static leat_status_t run(pickle_vm_t *vm, size_t memory_max) {
  while (!vm->stopped) {
    const uint8_t *opcode = NULL;
    LEAT_TRY(take(vm, 1, &opcode));
    if (opcodes[*opcode] == NULL) {
      LEAT_FAIL(LEAT_UNSUPPORTED,
                "pickle, byte %zu: opcode 0x%02x has no place in a state dictionary: refused, nothing "
                "was executed",
                (size_t)(opcode - vm->start), *opcode);
    }
    LEAT_TRY(opcodes[*opcode](vm));
    if (memory_of(vm) > memory_max) {
      LEAT_FAIL(LEAT_UNSUPPORTED, "pickle, byte %zu: its values take more than %zu bytes, far more than the file",
                (size_t)(opcode - vm->start), memory_max);
    }
  }
  return NULL;
}

size_t leat_pickle_memory_max(size_t file_bytes) {
  size_t bytes;
  if (!leat_size_mul(file_bytes, 2, &bytes) || !leat_size_add(bytes, MEMORY_ALLOWANCE, &bytes)) return SIZE_MAX;
  return bytes;
}

leat_status_t leat_pickle_read(const uint8_t *data, size_t bytes, size_t memory_max, leat_pickle_t **out_pickle) {
  *out_pickle = NULL;
  if (bytes >= UINT32_MAX) LEAT_FAIL(LEAT_UNSUPPORTED, "a pickle of %zu bytes", bytes);
  leat_pickle_t *pickle = leat_alloc_zero(1, sizeof *pickle);
  if (pickle == NULL) return leat_out_of_memory();
  leat_arena_init(&pickle->arena);
  pickle_vm_t vm = {.pickle = pickle, .at = data, .end = data + bytes, .start = data};
  leat_status_t status = run(&vm, memory_max);
  leat_array_free(&vm.stack);
  leat_array_free(&vm.memo);
  if (status != NULL) {
    leat_pickle_destroy(pickle);
    return status;
  }
  pickle->bytes = (size_t)(vm.at - vm.start);
  *out_pickle = pickle;
  return NULL;
}

void leat_pickle_destroy(leat_pickle_t *pickle) {
  if (pickle == NULL) return;
  for (uint32_t i = 0; i < pickle->values.count; ++i) {
    leat_pickle_value_t *value = &pickle->values.data[i];
    const bool container =
        value->kind == LEAT_PICKLE_TUPLE || value->kind == LEAT_PICKLE_LIST || value->kind == LEAT_PICKLE_DICT;
    if (container) leat_array_free(&value->items);
  }
  leat_array_free(&pickle->values);
  leat_arena_deinit(&pickle->arena);
  leat_free(pickle);
}
