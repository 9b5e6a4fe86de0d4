/*
 * test_notify.c - the line to the service manager (hx_notify in hexad/sys.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hexad/sys.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * Promise: a service manager that reads nothing never stops us: what finds no room is lost.
 * Method: far more lines than a socket's queue takes (net.unix.max_dgram_qlen), nobody reads; the alarm ends a hang.
 */
static void a_manager_that_does_not_read_stops_nobody(void **state)
{
    (void)state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char text[64] = "";
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(sa_family_t)), 0); /* any abstract name */
    socklen_t len = sizeof a;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    char name[sizeof a.sun_path + 1] = "@";
    memcpy(name + 1, a.sun_path + 1, len - offsetof(struct sockaddr_un, sun_path) - 1);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    alarm(60);
    for (int i = 0; i < 20000; i++)
        hx_notify("STATUS=%d", i);
    alarm(0);
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_string_equal(text, "STATUS=0");
    close(fd);
    unsetenv("NOTIFY_SOCKET");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manager_that_does_not_read_stops_nobody),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
