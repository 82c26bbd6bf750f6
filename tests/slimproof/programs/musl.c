/* A program linked with musl, which opens what it needs by open(2), not openat(2). ARGUMENTS: PLUGIN [ACCOUNT]. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <iconv.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

int main(int count, char **arguments)
{
    setlocale(LC_ALL, "");
    struct passwd *account = getpwnam(count > 2 ? arguments[2] : "nobody");
    printf("%s\n", account ? account->pw_dir : "no such account");
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    printf("%d\n", getaddrinfo("localhost", "http", &hints, &found));
    if (found)
        printf("%s %d\n", inet_ntoa(((struct sockaddr_in *)found->ai_addr)->sin_addr), ntohs(((struct sockaddr_in *)found->ai_addr)->sin_port));
    time_t day = 1720000000;
    char text[64];
    strftime(text, sizeof text, "%F %T %Z", localtime(&day));
    puts(text);
    void *plugin = dlopen(arguments[1], RTLD_NOW);
    int (*answer)(void) = plugin ? (int (*)(void))dlsym(plugin, "answer") : NULL;
    if (answer)
        printf("plugin: %d\n", answer());
    else
        puts(dlerror());
    fflush(stdout);
    FILE *shell = popen("echo from a shell; cat /etc/debian_version >/dev/null && echo done", "r");
    while (fgets(text, sizeof text, shell))
        fputs(text, stdout);
    return pclose(shell) != 0;
}
