// SPDX-License-Identifier: Apache-2.0
// The command `leat`.
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    printf("leat %s\n", LEAT_VERSION);
    return 0;
  }
  fprintf(stderr, "usage: leat --version\n");
  return 1;
}
