require 'erb'
require 'sinatra'

post '/preview' do
  title = ERB::Util.html_escape(params['title'])
  ERB.new('<h1><%= title %></h1><%= footer %>').result(binding)
end
