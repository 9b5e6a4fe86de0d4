/*
 * demo_client.c - `hexad demo kill|stop|heal|status`: asks the demo that runs in DIR (demo_control.c).
 */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool demo_client_knows(const char *word)
{
    static const char *const words[] = {"kill", "stop", "heal", "status"};
    for (size_t i = 0; i < HX_ARRAY_LEN(words); i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static int connect_to(const char *dir, int *ret_fd)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
    if (dir_fd < 0)
        return hx_err_from_errno(errno);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || demo_dir_socket(dir_fd, a.sun_path) < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        err = hx_err_from_errno(errno);
    close(dir_fd);
    if (err && fd >= 0)
        close(fd);
    else
        *ret_fd = fd;
    return err;
}

/* Everything that comes until the end; first line: the exit code. */
static int converse(int fd, const char *request, char *text, size_t cap, int *ret_code)
{
    size_t len = 0;
    int err = hx_fd_write_all(fd, request, strlen(request));
    while (!err && len + 1 < cap) {
        ssize_t n = read(fd, text + len, cap - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err = hx_err_from_errno(errno);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    char *nl = strchr(text, '\n');
    if (err || !nl)
        return err ? err : HX_E_CLOSED;
    *ret_code = atoi(text);
    memmove(text, nl + 1, strlen(nl + 1) + 1);
    return 0;
}

/* The table of processes, then what the servers say. */
static int show_status(const char *dir, bool json, const char *text)
{
    char conf[PATH_MAX], verb[] = "status", volume[] = DEMO_VOLUME, config[] = "--config", j[] = "--json";
    char *argv[] = {verb, volume, config, conf, json ? j : NULL, NULL};
    snprintf(conf, sizeof conf, "%s/hexad.conf", dir);
    if (!json) {
        fputs(text, stdout);
        fflush(stdout);
    }
    return admin_status_main(json ? 5 : 4, argv);
}

enum { OPT_DIR, OPT_JSON };
static const struct hx_opt opts[] = {
    [OPT_DIR] = {"dir", 0, "DIR", "where the demo runs ($HEXAD_DEMO_DIR, ./hexad-demo)"},
    [OPT_JSON] = {"json", 0, NULL, "print one JSON document"},
    {NULL, 0, NULL, NULL},
};
static const char *const examples[] = {
    "hexad demo kill az-b        (a zone)",
    "hexad demo stop c1          (a server stands still)",
    "hexad demo kill mount",
    "hexad demo heal             (everything runs again)",
    NULL,
};
static const struct hx_args_spec spec = {
    .command = "hexad demo",
    .usage = "kill|stop WHAT... | heal | status  [--dir DIR]",
    .examples = examples,
    .opts = opts,
    .notes = "WHAT: a1 .. c2, az-a, az-b, az-c, servers, mount, all.",
};

static int ask(const char *dir, bool json, char *request, const char *verb)
{
    char text[8192], what[HX_WHY_MAX];
    int fd = -1, code = 0, err = connect_to(dir, &fd);
    if (!err)
        err = converse(fd, request, text, sizeof text, &code);
    if (fd >= 0)
        close(fd);
    if (err) {
        snprintf(what, sizeof what, "no demo runs in %.200s", dir);
        return admin_fail(json, err, what, NULL, "start one: hexad demo; or name its directory: --dir DIR");
    }
    if (code == 0 && strcmp(verb, "status") == 0)
        return show_status(dir, json, text);
    if (json)
        admin_print(json_pack("{s:s, s:i, s:s}", "request", verb, "exit", code, "text", text));
    else
        fputs(text, code ? stderr : stdout);
    return code;
}

int demo_client_main(const char *dir, bool json, int argc, char **argv)
{
    struct hx_args a;
    const char *value, *env = getenv("HEXAD_DEMO_DIR");
    char request[512];
    int opt;
    hx_args_init(&a, &spec, argc, argv);
    while ((opt = hx_args_next(&a, &value)) >= 0) {
        if (opt == OPT_DIR)
            dir = value;
        else
            json = true;
    }
    if (opt != HX_ARGS_END)
        return opt == HX_ARGS_HELP ? HX_EXIT_OK : HX_EXIT_USAGE;
    if (!dir)
        dir = env && *env ? env : DEMO_DEFAULT_DIR;
    size_t n = (size_t)snprintf(request, sizeof request, "%s", argv[0]);
    for (int i = hx_args_operands(&a); i < argc; i++) {
        int k = snprintf(request + n, sizeof request - n, " %s", argv[i]);
        if (k < 0 || (size_t)k >= sizeof request - n - 2)
            return hx_args_complain(&spec, HX_E_TOOBIG, "too many words");
        n += (size_t)k;
    }
    memcpy(request + n, "\n", 2);
    return ask(dir, json, request, argv[0]);
}
