//go:build browser

package node

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/weirlog/weir/internal/oidc/oidctest"
)

// A person follows a deep link, signs in at the provider, and is where the link leads. A person without a role is told
// so.
func TestBrowserSignsInAtAProvider(t *testing.T) {
	node, _, _ := withProvider(t, joe, oidctest.Person{Name: "nobody"})
	b := openTabAt(t, node)
	signIn := func(name string) {
		b.until(`document.querySelector('.signin button.primary[type=button]')`)
		b.click(`.signin button.primary[type=button]`)
		b.until(`document.querySelector('#username')`)
		b.do(chromedp.SendKeys(chromedp.CSS("#username"), name),
			chromedp.SendKeys(chromedp.CSS("#password"), oidctest.Password+kb.Enter))
	}
	b.open("/?q=outcome:failure")
	signIn("nobody")
	b.until(`document.querySelector('.signin .notice')?.textContent.includes('no role')`)
	if got := b.value(`location.hash`); got != "" {
		t.Errorf("why it failed stays in the address: %s", got)
	}
	b.open("/?q=outcome:failure")
	signIn("joe")
	b.until(`document.querySelector('.results')`)
	b.settled()
	if got := b.value(`document.querySelector('.box input').value + document.cookie`); got != "outcome:failure" {
		t.Errorf("the deep link became, with the cookies that scripts see, %q", got)
	}
	b.click(`.menu summary`)
	b.until(`document.querySelector('.menu .sheet').textContent.includes('joe@example.com')`)
	b.shot("person")
	b.click(`.menu .sheet button`)
	b.until(`document.querySelector('.signin input')`)
	b.shot("signin-provider")
}
