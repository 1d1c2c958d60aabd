/* Waits for what does not come. */
#include <unistd.h>

int main(void)
{
    return pause();
}
