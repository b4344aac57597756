// SPDX-License-Identifier: Apache-2.0
// Readers and writers of tensor files, against fixtures of tests/data (made by make.py there), and what they refuse.
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "io/idx.h"
#include "io/npy.h"
#include "io/pt.h"
#include "io/safetensors.h"
#include "io/weights.h"

typedef leat_status_t (*read_fn)(const char *path, leat_tensors_t **out_tensors);

static const char *fixture(const char *name) {
  static char path[4096];
  const char *folder = getenv("LEAT_TEST_DATA");
  snprintf(path, sizeof path, "%s/%s", folder != NULL ? folder : "tests/data", name);
  return path;
}

static leat_tensors_t *read_fixture(read_fn read, const char *name) {
  leat_tensors_t *tensors = NULL;
  assert_ok(read(fixture(name), &tensors));
  return tensors;
}

static void assert_refused(read_fn read, const char *name, int code, const char *part) {
  leat_tensors_t *tensors = NULL;
  leat_status_t status = read(fixture(name), &tensors);
  assert_null(tensors);
  if (leat_status_code(status) != code || strstr(leat_status_message(status), part) == NULL ||
      strstr(leat_status_message(status), name) == NULL) {
    fail_msg("%s: code %d, '%s'", name, leat_status_code(status), leat_status_message(status));
  }
  leat_status_free(status);
}

static void assert_tensor(const leat_tensors_t *tensors, const char *name, uint32_t dtype, uint32_t rank,
                          const int64_t *dims, const void *data, size_t bytes) {
  const leat_io_tensor_t *tensor = leat_tensors_find(tensors, name);
  if (tensor == NULL) fail_msg("no tensor '%s'", name);
  assert_int_equal(tensor->dtype, dtype);
  assert_int_equal(tensor->rank, rank);
  if (rank != 0) assert_memory_equal(tensor->dims, dims, rank * sizeof *dims);
  assert_int_equal(tensor->data_bytes, bytes);
  if (bytes != 0) assert_memory_equal(tensor->data, data, bytes);
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})
static const float w[] = {0, 1, 2, 3, 4, 5};
static const uint16_t half[] = {0x3f80, 0xc020};  // 1, -2.5 in bf16

// --- .pt ---------------------------------------------------------------------------------------------------------

static void assert_nested(const char *name) {
  leat_tensors_t *tensors = read_fixture(leat_pt_read, name);
  assert_int_equal(tensors->items.count, 10);
  assert_tensor(tensors, "model.w", LEAT_DTYPE_F32, 2, DIMS(2, 3), w, sizeof w);
  assert_tensor(tensors, "model.half", LEAT_DTYPE_BF16, 1, DIMS(2), half, sizeof half);
  assert_tensor(tensors, "model.transposed", LEAT_DTYPE_F32, 2, DIMS(3, 2), (float[]){0, 3, 1, 4, 2, 5}, sizeof w);
  assert_tensor(tensors, "model.column", LEAT_DTYPE_F32, 1, DIMS(2), (float[]){1, 4}, 8);
  assert_tensor(tensors, "model.scalar", LEAT_DTYPE_I64, 0, NULL, (int64_t[]){7}, 8);
  assert_tensor(tensors, "model.empty", LEAT_DTYPE_F32, 2, DIMS(0, 4), NULL, 0);
  assert_tensor(tensors, "model.flags", LEAT_DTYPE_BOOL, 1, DIMS(3), "\1\0\1", 3);
  assert_tensor(tensors, "pair.0", LEAT_DTYPE_I32, 1, DIMS(2), (int32_t[]){5, 6}, 8);
  assert_tensor(tensors, "state.0.exp_avg", LEAT_DTYPE_F32, 1, DIMS(2), (float[]){1, 1}, 8);
  assert_tensor(tensors, "state.1.exp_avg", LEAT_DTYPE_F32, 1, DIMS(2), (float[]){0, 0}, 8);
  leat_tensors_destroy(tensors);
}

static void pt_nested(void **state) {
  (void)state;
  assert_nested("nested.pt");
  assert_nested("deflated.pt");
  assert_nested("protocol4.pt");
  assert_nested("legacy.pt");  // of torch before 1.6
}

static void pt_state_dict_of_a_module(void **state) {
  (void)state;
  leat_tensors_t *tensors = read_fixture(leat_weights_read, "module.pt");
  assert_int_equal(tensors->items.count, 7);
  assert_tensor(tensors, "1.weight", LEAT_DTYPE_F32, 1, DIMS(2), (float[]){1, 1}, 8);
  assert_tensor(tensors, "1.num_batches_tracked", LEAT_DTYPE_I64, 0, NULL, (int64_t[]){0}, 8);
  leat_tensors_destroy(tensors);
}

static void pt_refusals(void **state) {
  (void)state;
  assert_refused(leat_pt_read, "hostile.pt", LEAT_UNSUPPORTED, "'posix.system'");
  assert_refused(leat_pt_read, "hostile.pt", LEAT_UNSUPPORTED, "nothing was executed");
  assert_refused(leat_pt_read, "object.pt", LEAT_UNSUPPORTED, "'torch.nn.modules.activation.ReLU'");
  assert_refused(leat_pt_read, "expanded.pt", LEAT_UNSUPPORTED, "tensor 'wide': it is expanded");
  assert_refused(leat_pt_read, "plain.npy", LEAT_CORRUPT, "not a file of torch.save");
  assert_refused(leat_pt_read, "no_such_file.pt", LEAT_NOT_FOUND, "no_such_file.pt");
}

// Every prefix of the file, and every byte of it changed, is read or refused, never worse.
static void damage(leat_status_t (*read)(const void *, size_t, const char *, leat_tensors_t **), const char *name) {
  leat_mapping_t file;
  assert_ok(leat_file_map(fixture(name), &file));
  uint8_t *copy = leat_alloc(file.data_bytes);
  memcpy(copy, file.data, file.data_bytes);
  for (size_t i = 0; i < 2 * file.data_bytes; ++i) {
    leat_tensors_t *tensors = NULL;
    const bool cut = i < file.data_bytes;
    uint8_t *byte = &copy[i % file.data_bytes], kept = *byte;
    if (!cut) *byte = (uint8_t)(kept ^ (1u << i % 8));
    leat_status_t status = read(copy, cut ? i : file.data_bytes, "damaged", &tensors);
    const int code = leat_status_code(status);
    assert_true(code == LEAT_OK || code == LEAT_CORRUPT || code == LEAT_UNSUPPORTED);
    if (cut) assert_int_not_equal(code, LEAT_OK);
    leat_status_free(status);
    leat_tensors_destroy(tensors);
    *byte = kept;
  }
  leat_free(copy);
  leat_file_unmap(&file);
}

static void damaged_files(void **state) {
  (void)state;
  damage(leat_pt_read_memory, "nested.pt");
  damage(leat_pt_read_memory, "deflated.pt");
  damage(leat_pt_read_memory, "legacy.pt");
  damage(leat_safetensors_read_memory, "small.safetensors");
  damage(leat_npy_read_memory, "plain.npy");
  damage(leat_idx_read_memory, "bytes.idx");
  damage(leat_idx_read_memory, "floats.idx.gz");
}

static void out_of_memory_is_reported(void **state) {
  (void)state;
  static const struct {
    read_fn read;
    const char *name;
  } files[] = {{leat_pt_read, "deflated.pt"},
               {leat_pt_read, "legacy.pt"},
               {leat_safetensors_read, "small.safetensors"},
               {leat_npy_read, "fortran.npy"},
               {leat_idx_read, "floats.idx.gz"}};
  for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
    bool done = false;
    for (uint64_t n = 1; !done; ++n) {
      leat_tensors_t *tensors = NULL;
      leat_alloc_fail_after(n);
      leat_status_t status = files[i].read(fixture(files[i].name), &tensors);
      leat_alloc_fail_after(0);
      done = status == NULL;
      if (!done) assert_int_equal(leat_status_code(status), LEAT_OUT_OF_MEMORY);
      leat_status_free(status);
      leat_tensors_destroy(tensors);
    }
  }
}

// --- safetensors, npy, IDX ---------------------------------------------------------------------------------------

static void assert_safetensors(const leat_tensors_t *tensors) {
  assert_int_equal(tensors->items.count, 3);
  assert_tensor(tensors, "w", LEAT_DTYPE_F32, 2, DIMS(2, 3), w, sizeof w);
  assert_tensor(tensors, "half", LEAT_DTYPE_BF16, 1, DIMS(2), half, sizeof half);
  assert_tensor(tensors, "scalar", LEAT_DTYPE_I64, 0, NULL, (int64_t[]){7}, 8);
}

static void safetensors(void **state) {
  (void)state;
  leat_tensors_t *tensors = read_fixture(leat_weights_read, "small.safetensors");
  assert_safetensors(tensors);
  assert_ok(leat_safetensors_write("io_test.safetensors", tensors->items.data, tensors->items.count));
  leat_tensors_destroy(tensors);
  assert_ok(leat_safetensors_read("io_test.safetensors", &tensors));
  assert_safetensors(tensors);
  leat_tensors_destroy(tensors);
  remove("io_test.safetensors");
  assert_refused(leat_safetensors_read, "plain.npy", LEAT_CORRUPT, "not a .safetensors file");
}

static void safetensors_lies(void **state) {
  (void)state;
  static const struct {
    const char *header, *message;
  } lies[] = {
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "do not fit dtype and shape"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", "do not fit dtype and shape"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", "data_offsets"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,8]}}", "shape"},
      {"{\"a\":{\"dtype\":\"F8\",\"shape\":[2],\"data_offsets\":[0,8]}}", "dtype 'F8'"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
       "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
       "two tensors are called 'a'"},
      {"{\"a\\u0007\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
       "\"a\\u0007\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
       "two tensors are called 'a?'"},
      {"[1]", "not a JSON object"},
      {"{\"a\":", "tensor 'a': a member of the header is not an object"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,1]}}", "a field is there twice"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", "more than 8"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[01],\"data_offsets\":[0,1]}}", "a shape is not made of sizes"},
      {"{\"a\\u0000\":{}}", "has no name"},
      {"{} {}", "something follows"},
      {"{\"a\":{\"x\":[[1],{\"y\":\"]\"}],\"dtype\":\"F9\"}}", "dtype 'F9'"},
  };
  for (size_t i = 0; i < sizeof lies / sizeof *lies; ++i) {
    uint8_t file[256] = {0};
    const size_t length = strlen(lies[i].header);
    file[0] = (uint8_t)length;
    memcpy(file + 8, lies[i].header, length);
    leat_tensors_t *tensors = NULL;
    leat_status_t status = leat_safetensors_read_memory(file, 8 + length + 8, "lie", &tensors);
    if (strstr(leat_status_message(status), lies[i].message) == NULL) fail_msg("%s", leat_status_message(status));
    leat_status_free(status);
  }
}

static void npy(void **state) {
  (void)state;
  leat_tensors_t *tensors = read_fixture(leat_npy_read, "plain.npy");
  assert_tensor(tensors, "", LEAT_DTYPE_F32, 2, DIMS(2, 3), w, sizeof w);
  leat_tensors_destroy(tensors);
  tensors = read_fixture(leat_npy_read, "fortran.npy");
  assert_tensor(tensors, "", LEAT_DTYPE_F64, 2, DIMS(2, 3), (double[]){0, 1, 2, 3, 4, 5}, 48);
  leat_tensors_destroy(tensors);
  tensors = read_fixture(leat_npy_read, "scalar.npy");
  assert_tensor(tensors, "", LEAT_DTYPE_I64, 0, NULL, (int64_t[]){-7}, 8);
  leat_tensors_destroy(tensors);
  for (char version = '2'; version <= '3'; ++version) {
    char name[] = "version2.npy";
    name[7] = version;
    tensors = read_fixture(leat_npy_read, name);
    assert_tensor(tensors, "", LEAT_DTYPE_BOOL, 2, DIMS(2, 3), "\0\0\0\1\1\1", 6);
    leat_tensors_destroy(tensors);
  }
  assert_refused(leat_npy_read, "big_endian.npy", LEAT_UNSUPPORTED, "'>f4'");
  assert_refused(leat_npy_read, "bytes.idx", LEAT_CORRUPT, "not a .npy file");
}

static void npy_is_written_as_numpy_does(void **state) {
  (void)state;
  leat_tensors_t *tensors = read_fixture(leat_npy_read, "plain.npy");
  assert_ok(leat_npy_write("io_test.npy", &tensors->items.data[0]));
  leat_mapping_t written, expected;
  assert_ok(leat_file_map("io_test.npy", &written));
  assert_ok(leat_file_map(fixture("plain.npy"), &expected));
  assert_int_equal(written.data_bytes, expected.data_bytes);
  assert_memory_equal(written.data, expected.data, expected.data_bytes);
  leat_file_unmap(&written);
  leat_file_unmap(&expected);
  leat_tensors_destroy(tensors);
  const leat_io_tensor_t bf16 = {
      .name = "", .dtype = LEAT_DTYPE_BF16, .rank = 1, .dims = {2}, .data = half, .data_bytes = 4};
  leat_status_t status = leat_npy_write("io_test.npy", &bf16);
  assert_int_equal(leat_status_code(status), LEAT_UNSUPPORTED);
  leat_status_free(status);
  remove("io_test.npy");
}

static void idx(void **state) {
  (void)state;
  leat_tensors_t *tensors = read_fixture(leat_idx_read, "bytes.idx");
  assert_tensor(tensors, "", LEAT_DTYPE_U8, 2, DIMS(2, 3), "\0\1\2\3\4\5", 6);
  leat_tensors_destroy(tensors);
  tensors = read_fixture(leat_idx_read, "floats.idx.gz");
  assert_tensor(tensors, "", LEAT_DTYPE_F32, 1, DIMS(3), (float[]){1, -2.5f, 3}, 12);
  leat_tensors_destroy(tensors);
  assert_refused(leat_idx_read, "plain.npy", LEAT_CORRUPT, "not an IDX file");
}

static void extents_of_idx_have_four_bytes(void **state) {
  (void)state;
  const uint8_t header[] = {0, 0, 8, 1, 1, 2, 3, 4};
  leat_tensors_t *tensors = NULL;
  leat_status_t status = leat_idx_read_memory(header, sizeof header, "huge.idx", &tensors);
  assert_int_equal(leat_status_code(status), LEAT_CORRUPT);
  assert_non_null(strstr(leat_status_message(status), "states 16909060 bytes of data, 0 follow"));
  leat_status_free(status);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pt_nested),
      cmocka_unit_test(pt_state_dict_of_a_module),
      cmocka_unit_test(pt_refusals),
      cmocka_unit_test(damaged_files),
      cmocka_unit_test(out_of_memory_is_reported),
      cmocka_unit_test(safetensors),
      cmocka_unit_test(safetensors_lies),
      cmocka_unit_test(npy),
      cmocka_unit_test(npy_is_written_as_numpy_does),
      cmocka_unit_test(idx),
      cmocka_unit_test(extents_of_idx_have_four_bytes),
  };
  return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
